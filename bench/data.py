"""Data to measure with, made once per run, and the page cache emptied of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BLOCK = 8 << 20
_PER_FOLDER = 100


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run is given: a folder for data, whether it is full size, and repetitions.

    Attributes:
        folder: for data; each benchmark makes what it needs.
        full: full size, or small.
        repeat: of each measured thing.
        toy: tiny data, for a test of the command itself.
        rows: files of the made-up catalog; 0: as many as the size says.
    """

    folder: Path
    full: bool
    repeat: int
    toy: bool = False
    rows: int = 0

    def size(self, full: int, small: int, toy: int) -> int:
        """The one of the three that this run uses."""
        return toy if self.toy else full if self.full else small

    def staging(self) -> Path:
        """A folder for output."""
        path = self.folder / "out"
        path.mkdir(exist_ok=True)
        return path


@contextmanager
def folder(given: str | None) -> Iterator[Path]:
    """A temporary folder, in `given` if there is one; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ptolemy-bench-", dir=given) as name:
        yield Path(name)


def big_file(path: Path, size: int, seed: int = 1) -> Path:
    """A file of `size` random bytes, synced."""
    random = np.random.default_rng(seed)
    with open(path, "wb") as file:
        for at in range(0, size, _BLOCK):
            file.write(random.bytes(min(_BLOCK, size - at)))
        file.flush()
        os.fsync(file.fileno())
    return path


def small_files(path: Path, count: int, size: int = 4096, seed: int = 2) -> Path:
    """A tree of `count` random files of `size` bytes: 100 in a folder, and those in up to 10 folders."""
    random = np.random.default_rng(seed)
    for low in range(0, count, _PER_FOLDER):
        number = low // _PER_FOLDER
        place = path / f"part-{number % 10}" / f"set-{number // 10:04d}"
        place.mkdir(parents=True)
        content = random.bytes(_PER_FOLDER * size)
        for k in range(min(_PER_FOLDER, count - low)):
            with open(place / f"record-{k:04d}.bin", "wb", buffering=0) as file:
                file.write(content[k * size : k * size + size])
    return path


def chill(path: Path) -> bool:
    """Put a file out of the page cache; returns whether the whole cache could be dropped (root alone may)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    with suppress(OSError):
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1\n", encoding="ascii")
        return True
    return False


def warm(path: Path) -> None:
    """Put a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(_BLOCK)
        while file.readinto(buffer):
            pass


def clear(place: Path) -> None:
    """Remove the files of a folder."""
    for entry in place.iterdir():
        entry.unlink()


def can_hold(place: Path, size: int) -> bool:
    """Whether there is room for a file of `size` bytes."""
    return shutil.disk_usage(place).free > size + (256 << 20)
