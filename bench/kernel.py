"""The kernel's variants on one core, against hashlib and, where it is found, go-fil-commp-hashhash.

A workload is the messages of one shape that a build meets; its rate is GB of input a second.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import peers
from bench.data import Bench, big_file, warm
from bench.jobs import Clock, timed
from bench.measure import Run, job, spread
from bench.measure import alternate as alternating
from bench.report import Section
from ptolemy_core import commp
from ptolemy_core.commp import SUBTREE
from ptolemy_core.kernel import Kernel, available

COMMITMENT = "commitment"
LEAVES = "leaves of 1 MiB"
HASHLIB = "hashlib"
_SLOW = ("python", "portable")
_TARGETS = {"avx512": 1.0, "sha-ni": 0.45}


@dataclass(frozen=True, slots=True)
class Workload:
    """Messages to hash: a name, and their places in the buffer."""

    name: str
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def workloads(size: int) -> list[Workload]:
    """Whole leaves, and small files of equal and of any size."""
    mixed = np.random.default_rng(1).integers(100, 8000, max(1, size // 8000), dtype=np.int64)
    return [
        _equal(LEAVES, size, 1 << 20),
        _equal("5 leaves of 1 MiB", min(size, 5 << 20), 1 << 20),
        _equal("files of 4 KiB", size, 4096),
        Workload("files of 100-8000 B", np.cumsum(mixed) - mixed, mixed),
        _equal("files of 100 B", size // 8, 100),
    ]


def _equal(name: str, size: int, length: int) -> Workload:
    count = size // length
    return Workload(name, np.arange(count, dtype=np.int64) * length, np.full(count, length, dtype=np.int64))


def rates(variant: str, size: int) -> dict[str, Any]:
    """Job: GB/s of each workload by a variant, or by hashlib, on one core; the best of three passes each."""
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    out: dict[str, Any] = {}
    for work in workloads(size):
        run: Callable[[], object] = partial(_one_by_one, data, work)
        if variant != HASHLIB:
            run = partial(Kernel.load(variant).sha256_ranges, data, work.offsets, work.lengths)
        out[work.name] = _best(int(work.lengths.sum()), run)
    if variant != HASHLIB:
        payload = data[: size // SUBTREE * SUBTREE]
        out[COMMITMENT] = _best(len(payload), partial(Kernel.load(variant).subtree_roots, payload, SUBTREE))
    return out


def on_all_cores(what: str, size: int, threads: int) -> dict[str, Any]:
    """Job: GB/s of the variant in use with a thread on each core; `what` is LEAVES or COMMITMENT."""
    from ptolemy_core import kernel

    data = np.random.default_rng(0).integers(0, 256, min(size, 64 << 20), dtype=np.uint8)
    rounds = max(1, size // len(data))
    work = _equal(LEAVES, len(data), 1 << 20)
    payload = data[: len(data) // SUBTREE * SUBTREE]
    used = len(payload) if what == COMMITMENT else int(work.lengths.sum())

    def run() -> None:
        for _ in range(rounds):
            if what == COMMITMENT:
                kernel.subtree_roots(payload, SUBTREE)
            else:
                kernel.sha256_ranges(data, work.offsets, work.lengths)

    return timed(rounds * used, run, threads)


def piece_root(path: str) -> dict[str, Any]:
    """Job: the piece commitment of a file."""
    piece = commp.PieceCommitment()
    buffer = memoryview(bytearray(8 * SUBTREE))
    with open(path, "rb", buffering=0) as file, Clock() as clock:
        while got := file.readinto(buffer):
            piece.update(buffer[:got])
        root = piece.hexdigest()
    return clock.answer(result=f"{root} {piece.piece_size}")


def _one_by_one(data: NDArray[np.uint8], work: Workload) -> None:
    view = data.data
    for offset, length in zip(work.offsets.tolist(), work.lengths.tolist(), strict=True):
        hashlib.sha256(view[offset : offset + length]).digest()


def _best(size: int, run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        with Clock() as clock:
            run()
        seconds.append(clock.wall)
    return size / min(seconds) / 1e9


def measure(bench: Bench) -> Section:
    """The benchmark."""
    size = bench.size(64 << 20, 64 << 20, 4 << 20)
    variants = available()
    runs: dict[str, Run] = {
        name: partial(job, "kernel.rates", variant=name, size=min(size, 8 << 20) if name in _SLOW else size)
        for name in (HASHLIB, *variants)
    }
    samples = alternating(runs, bench.repeat)
    shapes = [work.name for work in workloads(size)]
    section = Section("Kernel, GB/s on one core", ("variant", COMMITMENT, *shapes, "leaves : hashlib"))
    speed = {name: {shape: spread(of, shape) for shape in shapes} for name, of in samples.items()}
    leaf = {name: row[LEAVES].median for name, row in speed.items()}
    section.row(HASHLIB, "", *(speed[HASHLIB][shape].text() for shape in shapes), "1.00")
    for name in variants:
        ratio = leaf[name] / leaf[HASHLIB]
        rows = (speed[name][shape].text() for shape in shapes)
        section.row(name, spread(samples[name], COMMITMENT).text(), *rows, f"{ratio:.2f}")
        if name in _TARGETS:
            tree = spread(samples[name], COMMITMENT).median
            section.target(f"commitment, {name}", tree, _TARGETS[name], unit=" GB/s")
    section.target(f"leaves, {variants[0]} : hashlib", leaf[variants[0]] / leaf[HASHLIB], 2.0)
    _against_hashhash(bench, section)
    return section


def _against_hashhash(bench: Bench, section: Section) -> None:
    """The piece commitment of one file, by CPU time: ours without the start of Python, and the Go library's."""
    tool = peers.find("hashhash")
    if not tool:
        section.notes.append(peers.missing("hashhash"))
        return
    path = big_file(bench.folder / "commitment.bin", bench.size(1 << 30, 256 << 20, 4 << 20))
    warm(path)
    size = os.path.getsize(path)
    runs: dict[str, Run] = {
        "ptolemy": partial(job, "kernel.piece_root", path=str(path)),
        "hashhash": partial(peers.run_tool, [tool], env={"GOMAXPROCS": "1"}, stdin=str(path)),
    }
    samples = alternating(runs, bench.repeat)
    path.unlink()
    cpu = {
        name: spread(of, lambda s: size / 1e9 / float(s.value.get("work_cpu", s.cpu)))
        for name, of in samples.items()
    }
    texts = ", ".join(f"{name} {of.text()}" for name, of in cpu.items())
    section.notes.append(f"Commitment of a cached file, GB per CPU second: {texts}")
    section.target("commitment : go-fil-commp-hashhash", cpu["ptolemy"].median / cpu["hashhash"].median, 5.0)
    results = {
        "ptolemy": samples["ptolemy"][0].value["result"],
        "hashhash": samples["hashhash"][0].text.strip(),
    }
    section.same("piece commitment", results)
