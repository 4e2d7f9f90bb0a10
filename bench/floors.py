"""Floors: what this machine does at best with nothing of ours in the way."""

import hashlib
import os
import threading
from functools import partial
from typing import Any

import numpy as np

from bench.data import Bench, big_file, chill, warm
from bench.jobs import Clock, timed
from bench.machine import cores
from bench.measure import Sample, alternate, job, spread
from bench.report import Section
from ptolemy_core.source.buffers import new_buffer

_BLOCK = 8 << 20


def sha256(size: int, threads: int) -> dict[str, Any]:
    """Job: hashlib's SHA-256 of blocks of 1 MiB, `size` bytes a thread."""
    data = np.random.default_rng(0).bytes(min(size, 64 << 20))
    blocks = [memoryview(data)[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]

    def run() -> None:
        for k in range(size >> 20):
            hashlib.sha256(blocks[k % len(blocks)]).digest()

    return timed(size >> 20 << 20, run, threads)


def memcpy(size: int, threads: int) -> dict[str, Any]:
    """Job: copies between places in memory, `size` bytes a thread; all threads share the source."""
    source = np.random.default_rng(0).integers(0, 256, min(size, 256 << 20), dtype=np.uint8)
    targets = [np.ones_like(source) for _ in range(threads)]
    free = list(range(threads))
    rounds = max(1, size // len(source))

    def run() -> None:
        target = targets[free.pop()]
        for _ in range(rounds):
            np.copyto(target, source)

    return timed(rounds * len(source), run, threads)


def read_file(path: str, direct: bool = False) -> dict[str, Any]:
    """Job: a file read from its start to its end; `direct` with O_DIRECT."""
    with Clock() as clock:
        size = _read(path, direct)
    return clock.answer(rate=size / clock.wall / 1e9)


def write_file(path: str, size: int, direct: bool = False) -> dict[str, Any]:
    """Job: a new file of `size` bytes, written and synced; `direct` with O_DIRECT."""
    with Clock() as clock:
        _write(path, size, direct)
    os.unlink(path)
    return clock.answer(rate=size / clock.wall / 1e9)


def read_and_write(source: str, target: str, direct: bool = False) -> dict[str, Any]:
    """Job: one file read while one of the same size is written and synced."""
    size = os.path.getsize(source)
    with Clock() as clock:
        writer = threading.Thread(target=_write, args=(target, size, direct))
        writer.start()
        _read(source, direct)
        writer.join()
    os.unlink(target)
    return clock.answer(rate=size / clock.wall / 1e9)


def _read(path: str, direct: bool) -> int:
    descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
    total = 0
    try:
        with new_buffer(_BLOCK) as buffer:  # aligned, as O_DIRECT wants
            while got := os.preadv(descriptor, [buffer], total):
                total += got
    finally:
        os.close(descriptor)
    return total


def _write(path: str, size: int, direct: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | (os.O_DIRECT if direct else 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        if direct:
            os.posix_fallocate(descriptor, 0, size)
        with new_buffer(_BLOCK) as buffer:
            buffer.write(np.random.default_rng(3).bytes(_BLOCK))
            for at in range(0, size, _BLOCK):
                os.pwritev(descriptor, [buffer], at)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def can_direct(bench: Bench) -> bool:
    """Whether the data's file system takes O_DIRECT."""
    probe = str(bench.folder / "probe")
    if not hasattr(os, "O_DIRECT"):
        return False
    try:
        _write(probe, _BLOCK, True)
        _read(probe, True)
    except OSError:
        return False
    finally:
        if os.path.exists(probe):
            os.unlink(probe)
    return True


def disk(bench: Bench, size: int) -> dict[str, list[Sample]]:
    """The disk's floors, each with the page cache empty of the data."""
    source = big_file(bench.folder / "floor.bin", size)
    target = str(bench.folder / "floor.out")
    measured: dict[str, list[Sample]] = {}
    for direct in (False, True) if can_direct(bench) else (False,):
        how = "O_DIRECT" if direct else "buffered"
        runs = {
            f"disk read, {how}": partial(job, "floors.read_file", path=str(source), direct=direct),
            f"disk write + fdatasync, {how}": partial(
                job, "floors.write_file", path=target, size=size, direct=direct
            ),
            f"disk read and write at once, {how}": partial(
                job, "floors.read_and_write", source=str(source), target=target, direct=direct
            ),
        }
        measured |= alternate(runs, bench.repeat, before=partial(chill, source))
    warm(source)
    cached = {"page cache read": partial(job, "floors.read_file", path=str(source))}
    measured |= alternate(cached, bench.repeat)
    source.unlink()
    return measured


def measure(bench: Bench) -> Section:
    """The benchmark."""
    size = bench.size(1 << 30, 256 << 20, 16 << 20)
    counts = sorted({1, cores()})
    runs = {}
    for threads in counts:
        many = f"{threads} thread" + "s" * (threads > 1)
        runs[f"hashlib SHA-256 of 1 MiB, {many}"] = partial(job, "floors.sha256", size=size, threads=threads)
        runs[f"memcpy, {many}"] = partial(job, "floors.memcpy", size=size, threads=threads)
    samples = alternate(runs, bench.repeat) | disk(bench, size)
    section = Section("Floors", ("floor", "GB/s", "CPU s/GB"))
    for name, of in samples.items():
        per_gb = spread(of, lambda s: s.number("work_cpu") / s.number("work_wall") / s.number("rate"))
        section.row(name, spread(of, "rate").text(), per_gb.text())
    section.notes.append(f"{size >> 20} MiB a run; disk reads start with an empty page cache.")
    return section
