"""Speed of the kernel's variants on one core, against hashlib and against copying the same bytes.

Prints GB/s of input (1 GB = 10**9 bytes), best of several runs, and the ratios.
Run as `python -m bench.kernel` or `python bench/kernel.py`.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.commp import SUBTREE
from ptolemy_core.kernel import Kernel, available

HEAD = f"  {'':<10}{'GB/s':>8}{'x hashlib':>11}{'x copy':>9}"


@dataclass(frozen=True, slots=True)
class Workload:
    """Messages to hash: a name, and their places in the buffer."""

    name: str
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def workloads(size: int) -> list[Workload]:
    """The shapes that a build meets: whole leaves, and small files of equal and of any size."""
    mixed = np.random.default_rng(1).integers(100, 8000, max(1, size // 8000), dtype=np.int64)
    return [
        equal("leaves of 1 MiB", size, 1 << 20),
        equal("a few leaves of 1 MiB", min(size, 5 << 20), 1 << 20),
        equal("files of 4 KiB", size, 4096),
        Workload("files of 100-8000 B", np.cumsum(mixed) - mixed, mixed),
        equal("files of 100 B", size // 8, 100),
    ]


def equal(name: str, size: int, length: int) -> Workload:
    """Messages of one length, back to back."""
    count = size // length
    return Workload(name, np.arange(count, dtype=np.int64) * length, np.full(count, length, dtype=np.int64))


def rate(size: int, run: Callable[[], object], repeat: int) -> float:
    """GB/s of the fastest of `repeat` runs over `size` bytes."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return size / best / 1e9


def one_by_one(data: NDArray[np.uint8], work: Workload) -> None:
    """What hashlib offers: a call for each message."""
    view = data.data
    for offset, length in zip(work.offsets.tolist(), work.lengths.tolist(), strict=True):
        hashlib.sha256(view[offset : offset + length]).digest()


def report(name: str, speed: float, hashlib_speed: float, copy_speed: float) -> None:
    """One line of the table."""
    print(f"  {name:<10}{speed:>8.3f}{speed / hashlib_speed:>11.2f}{speed / copy_speed:>9.3f}")


def bench(size: int, repeat: int, variants: list[str]) -> None:
    """Print the table."""
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    target = np.empty_like(data)
    copy = rate(size, lambda: np.copyto(target, data), repeat)
    print(f"{size >> 20} MiB, best of {repeat}, one core; copying in memory: {copy:.1f} GB/s")
    for work in workloads(size):
        total = int(work.lengths.sum())
        reference = rate(total, lambda work=work: one_by_one(data, work), repeat)  # type: ignore[misc]
        print(f"\nSHA-256, {work.name} ({len(work.lengths)} messages)\n{HEAD}")
        report("hashlib", reference, reference, copy)
        for name in variants:
            run = Kernel.load(name).sha256_ranges
            report(
                name,
                rate(total, lambda run=run, work=work: run(data, work.offsets, work.lengths), repeat),  # type: ignore[misc]
                reference,
                copy,
            )
    # a tree hashes four blocks where plain SHA-256 hashes one
    payload = data[: size // SUBTREE * SUBTREE]
    plain = rate(size, lambda: hashlib.sha256(data.data).digest(), repeat)
    print(f"\npiece commitment, subtrees of {SUBTREE} bytes (hashlib: SHA-256 of the same bytes, no tree)")
    print(HEAD)
    for name in variants:
        roots = Kernel.load(name).subtree_roots
        report(
            name,
            rate(payload.size, lambda roots=roots: roots(payload, SUBTREE), repeat),  # type: ignore[misc]
            plain,
            copy,
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--mib", type=int, default=64, help="size of the data in MiB, at least 5 (default 64)"
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, the best counts (default 5)")
    parser.add_argument(
        "--variant",
        action="append",
        choices=available(),
        help="only this one; may be repeated (default: all)",
    )
    arguments = parser.parse_args()
    if arguments.mib < 5 or arguments.repeat < 1:
        parser.error("--mib must be at least 5 and --repeat at least 1")
    bench(arguments.mib << 20, arguments.repeat, arguments.variant or available())


if __name__ == "__main__":
    main()
