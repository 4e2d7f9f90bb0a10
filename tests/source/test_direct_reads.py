"""Large reads of files that aren't in the page cache: any range, into any buffers, is what the file holds."""

import os
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.source import descriptors
from ptolemy_core.source.buffers import Buffers

SIZE = 11 * (1 << 20) + 1234
MIB = 1 << 20

RANGES = (
    (0, (MIB,) * 11 + (1234,)),
    (0, (SIZE,)),
    (1, (SIZE - 1,)),
    (4095, (1, 5 * MIB, 0, 3, MIB + 1)),
    (MIB + 77, (4 * MIB - 1, 2, 4 * MIB)),
    (SIZE - 2 * MIB, (MIB, MIB)),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("direct") / "file"
    path.write_bytes(np.random.default_rng(4).bytes(SIZE))
    return path


def read(path: Path, offset: int, sizes: tuple[int, ...]) -> tuple[int, list[bytes]]:
    """The bytes read, after the file was put out of the page cache; buffers begin as 0xff."""
    buffers = [bytearray(b"\xff" * size) for size in sizes]
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        views = [memoryview(buffer) for buffer in buffers]
        done = descriptors.read_at(opened.fileno(), offset, views, Buffers(descriptors.BOUNCE))
    return done, [bytes(buffer) for buffer in buffers]


@pytest.mark.parametrize(("offset", "sizes"), RANGES)
def test_any_range_fills_its_buffers_in_order(file: Path, offset: int, sizes: tuple[int, ...]) -> None:
    done, buffers = read(file, offset, sizes)
    assert done == sum(sizes)
    assert [len(buffer) for buffer in buffers] == list(sizes)
    assert b"".join(buffers) == file.read_bytes()[offset : offset + done]


def test_a_range_beyond_the_end_is_read_as_far_as_the_file_goes(file: Path) -> None:
    offset = SIZE - MIB - 5
    done, (first, second) = read(file, offset, (MIB, MIB))
    assert done == MIB + 5
    assert first + second[:5] == file.read_bytes()[offset:]
    assert second[5:] == b"\xff" * (MIB - 5)


def test_several_buffers_are_filled_by_one_direct_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = os.preadv

    def counted(descriptor: int, buffers: list[memoryview], *rest: int) -> int:
        calls.append(sum(map(len, buffers)))
        return real(descriptor, buffers, *rest)

    monkeypatch.setattr(os, "preadv", counted)
    with file.open("rb") as opened:
        views = [memoryview(bytearray(MIB)) for _ in range(8)]
        assert descriptors._read_direct(opened.fileno(), 0, views, Buffers(descriptors.BOUNCE)) == 8 * MIB
    assert calls == [descriptors.BOUNCE] * (8 * MIB // descriptors.BOUNCE)
