"""Encryption: builds of encrypted CARs beside the same in plain; leaves of 1 MiB beside AES-GCM alone; names.

The plaintext is memory that is copied to where it is encrypted, as a file in the page cache would be; where it isn't
even copied, what is left beside AES-GCM is the view's own cost.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.data import Bench, big_file, small_files, warm
from bench.jobs import Clock, timed
from bench.measure import Run, alternate, job, spread
from bench.report import Section
from ptolemy_core.car.whole import whole
from ptolemy_core.catalog.containers import Content
from ptolemy_core.encryption import (
    SEGMENT,
    Decrypted,
    Encrypted,
    FileCipher,
    Header,
    NameCipher,
    ProjectCipher,
    random_headers,
)
from ptolemy_core.keys.secret import random_secret
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import Inputs, open_source
from ptolemy_core.stages.car_form import in_car
from ptolemy_core.staging.build import Kept, build_car

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


def build(path: str, out: str, encrypted: bool) -> dict[str, Any]:
    """Job: the CAR of a folder, as a project has it: an encrypted one keeps an outline too."""
    with Clock() as clock:
        items, inputs = whole(open_source(os.fsencode(path)))
        if encrypted:
            inputs = _encrypted(inputs)
            items = inputs.items
        built = build_car(compute_layout(items), inputs, out, ".bench.car.part", kept=Kept(outline=encrypted))
    os.unlink(os.path.join(out, built.file_name))
    return clock.answer(rate=items.data_bytes / clock.wall / 1e9)


def _encrypted(plain: Inputs) -> Inputs:
    """The same files as an encrypted project has them."""
    cipher = ProjectCipher(random_secret(32), random_secret(64))
    order = sorted(range(len(plain.items)), key=lambda k: cipher.car_path(plain.items.paths[k]))
    rows = np.array(order, dtype=np.int64)
    content = Content(plain.items.take(order), plain.stamps.take(rows), {}, random_headers(len(order)))
    return in_car(content, cipher).inputs(plain.source)


def _builds(bench: Bench, section: Section) -> None:
    """Encrypted builds beside plain ones."""
    big, small = bench.folder / "encrypted-big", bench.folder / "encrypted-small"
    big.mkdir()
    size = bench.size(2 << 30, 128 << 20, 9 << 20)
    warm(big_file(big / "file", size))
    count = bench.size(100_000, 20_000, 200)
    small_files(small, count)
    for what, path in ((f"one file of {size >> 20} MiB", big), (f"{count:,} files of 4 KiB", small)):
        runs: dict[str, Run] = {
            kind: partial(
                job,
                "encryption.build",
                path=str(path),
                out=str(bench.staging()),
                encrypted=kind == "encrypted",
            )
            for kind in ("plain", "encrypted")
        }
        samples = alternate(runs, bench.repeat)
        rates = {kind: spread(of, "rate") for kind, of in samples.items()}
        for kind, of in samples.items():
            cpu = spread(of, lambda s: s.number("rate") * s.number("work_wall") / s.number("work_cpu"))
            ratio = f"{rates[kind].median / rates['plain'].median:.2f}"
            section.row(f"build of {what}, {kind}", "4", rates[kind].text(), cpu.text(), ratio)


def measure(bench: Bench) -> Section:
    """The benchmark."""
    size = bench.size(1 << 30, 256 << 20, 32 << 20)
    kinds = (ALONE, COPIED, "encrypted view, nothing read", "encrypted view", "decrypted view")
    section = Section("Encryption", ("what", "threads", "GB/s", "GB per CPU s", "ratio"))
    _builds(bench, section)
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
    section.notes.append(
        "The ratio of a build is that of GB/s to the build in plain; of others, of GB per CPU second to AES-GCM "
        "alone."
    )
    return section
