"""Holes of sparse files aren't read, and the CAR has the same bytes as that of a file without holes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.layout import compute_layout
from ptolemy_core.source import descriptors
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.staging.build import build_car
from tests.car import scene

MIB = 1 << 20
SIZE = 40 * MIB + 12345


def write(path: Path, sparse: bool) -> None:
    """Data here and there: at the begin, over the edges of units and leaves, at the end."""
    with path.open("wb") as file:
        if not sparse:
            file.write(bytes(SIZE))
        for at, length in ((0, 10), (3 * MIB - 5, 10), (16 * MIB, 2 * MIB), (30 * MIB + 1, 1), (SIZE - 3, 3)):
            file.seek(at)
            file.write(b"\xa5" * length)
    if sparse and path.stat().st_blocks * 512 >= SIZE:
        pytest.skip("no holes on this file system")


def car(path: Path, staging: Path) -> bytes:
    _, inputs = scene.whole(bytes(path))
    built = build_car(compute_layout(inputs.items), inputs, str(staging), ".p")
    data = (staging / built.file_name).read_bytes()
    (staging / built.file_name).unlink()
    return data


def test_a_sparse_file_gives_the_car_of_the_dense_one_and_its_holes_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "SETTLED", -1.0)
    read: list[int] = []
    real = descriptors.read_at

    def counted(descriptor: int, offset: int, buffers: Sequence[memoryview], bounce: Buffers) -> int:
        read.append(sum(map(len, buffers)))
        return real(descriptor, offset, buffers, bounce)

    monkeypatch.setattr(descriptors, "read_at", counted)
    staging = tmp_path / "staging"
    staging.mkdir()
    write(tmp_path / "f", sparse=False)
    dense = car(tmp_path / "f", staging)
    assert sum(read) >= SIZE
    (tmp_path / "f").unlink()
    read.clear()
    write(tmp_path / "f", sparse=True)
    assert car(tmp_path / "f", staging) == dense
    assert sum(read) < SIZE * 3 // 4
    (tmp_path / "f").unlink()
    read.clear()
    (tmp_path / "f").touch()
    os.truncate(tmp_path / "f", SIZE)
    car(tmp_path / "f", staging)
    assert sum(read) == 0


def test_holes_of_a_file_that_was_just_written_are_not_believed(tmp_path: Path) -> None:
    write(tmp_path / "f", sparse=True)
    assert not descriptors.may_skip_holes(os.stat(tmp_path / "f"))


def test_only_large_holes_are_skipped_and_zeros_go_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against plain reading, for parts that begin and end anywhere."""
    monkeypatch.setattr(descriptors, "_HOLE", 3 * 4096)
    path = tmp_path / "f"
    data = bytearray(64 * 4096)
    for page in (0, 2, 3, 10, 13, 20, 50):
        data[page * 4096 : page * 4096 + 4096] = b"x" * 4096
    with path.open("wb") as file:
        file.truncate(len(data))
        for page in range(64):
            if data[page * 4096]:
                file.seek(page * 4096)
                file.write(b"x" * 4096)
    random = np.random.default_rng(1)
    with path.open("rb") as file:
        ranges = list(descriptors._data(file.fileno(), 0, len(data)))
        if path.stat().st_blocks * 512 < len(data):
            assert [(low // 4096, high // 4096) for low, high in ranges] == [
                (0, 4), (10, 14), (20, 21), (50, 51)
            ]  # fmt: skip
        for _ in range(200):
            low, high = sorted(random.integers(0, len(data), 2).tolist())
            cut = int(random.integers(low, high + 1))
            buffers = [memoryview(bytearray(b"\xff" * size)) for size in (cut - low, 0, high - cut)]
            done = descriptors.read_sparse(file.fileno(), low, buffers, Buffers(descriptors.BOUNCE))
            assert done == high - low
            assert b"".join(buffers) == data[low:high]
