"""Encryption: leaves of 1 MiB through the encrypted view, beside AES-GCM alone; decryption; names.

The plaintext is memory that is copied to where it is encrypted, as a file in the page cache would be; where it isn't
even copied, what is left beside AES-GCM is the view's own cost.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.data import Bench
from bench.jobs import Clock, timed
from bench.measure import Run, alternate, job, spread
from bench.report import Section
from ptolemy_core.encryption import SEGMENT, Decrypted, Encrypted, FileCipher, Header, NameCipher
from ptolemy_core.keys.secret import random_secret

ALONE, COPIED = "AES-GCM alone", "copy, then AES-GCM"
_LEAVES = 8
"""Leaves of one read, as many as a build's thread holds at once."""


class _Memory:
    """Bytes that are copied; without `copied` it only says so."""

    def __init__(self, data: memoryview, copied: bool = True) -> None:
        self.data = data
        self.copied = copied

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        done = 0
        for buffer in buffers:
            if self.copied:
                buffer[:] = self.data[offset + done : offset + done + len(buffer)]
            done += len(buffer)
        return done


def segments(what: str, size: int, threads: int) -> dict[str, Any]:
    """Job: GB/s of so many threads, each over `size` bytes."""
    plain = memoryview(os.urandom(size))
    cipher = FileCipher(random_secret(32), Header.random(), b"file", size)
    return timed(size, _work(what, plain, cipher), threads)


def _work(what: str, plain: memoryview, cipher: FileCipher) -> Callable[[], None]:
    if what in (ALONE, COPIED):
        gcm = AESGCM(bytes(32))

        def alone() -> None:
            outs = [memoryview(bytearray(SEGMENT)) for _ in range(_LEAVES)]
            for number in range(len(plain) // SEGMENT):
                out = outs[number % _LEAVES]
                inner = out[: SEGMENT - 16]
                if what == COPIED:
                    inner[:] = plain[number * SEGMENT : number * SEGMENT + len(inner)]
                gcm.encrypt_into(number.to_bytes(12, "big"), inner, None, out)

        return alone
    encrypted = Encrypted(_Memory(plain, copied=what != "encrypted view, nothing read"), cipher)
    view: Encrypted | Decrypted = encrypted
    if what == "decrypted view":
        whole = memoryview(bytearray(encrypted.size))
        encrypted.read(0, [whole])
        view = Decrypted(_Memory(whole), cipher)

    def read() -> None:
        buffers = [memoryview(bytearray(SEGMENT)) for _ in range(_LEAVES)]
        if view is not encrypted:
            buffers = [memoryview(bytearray(_LEAVES * SEGMENT))]  # its segments are shorter than a leaf
        for offset in range(0, view.size, _LEAVES * SEGMENT):
            view.read(offset, buffers)

    return read


def names(count: int) -> dict[str, Any]:
    """Job: encrypts the paths of a tree, a hundred in a folder."""
    cipher = NameCipher(random_secret(64))
    paths = [
        b"data\0part-%d\0set-%05d\0record-%02d.bin" % (n // 1000, n // 100, n % 100) for n in range(count)
    ]
    with Clock() as clock:
        for path in paths:
            cipher.encrypt_path(path)
    return clock.answer(rate=count / clock.cpu)


def measure(bench: Bench) -> Section:
    """The benchmark."""
    size = bench.size(1 << 30, 256 << 20, 32 << 20)
    kinds = (ALONE, COPIED, "encrypted view, nothing read", "encrypted view", "decrypted view")
    section = Section(
        "Encryption of 1 MiB leaves", ("what", "threads", "GB/s", "GB per CPU s", "against AES-GCM alone")
    )
    for threads in (1, 2):
        runs: dict[str, Run] = {
            what: partial(job, "encryption.segments", what=what, size=size, threads=threads) for what in kinds
        }
        samples = alternate(runs, bench.repeat)
        cpu = {
            what: spread(of, lambda s: threads * size / s.number("work_cpu") / 1e9)  # noqa: B023
            for what, of in samples.items()
        }
        for what, of in samples.items():
            ratio = f"{cpu[what].median / cpu[ALONE].median:.2f}"
            section.row(what, str(threads), spread(of, "rate").text(), cpu[what].text(), ratio)
    count = bench.size(1_000_000, 100_000, 1000)
    found = alternate({"names": partial(job, "encryption.names", count=count)}, bench.repeat)["names"]
    section.notes.append(
        f"Names encrypted a CPU second, a hundred in a folder: {spread(found, 'rate').text(0)}"
    )
    section.notes.append("The ratio is that of GB per CPU second.")
    return section
