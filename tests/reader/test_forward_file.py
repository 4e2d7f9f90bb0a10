"""A file is read forward with and without direct I/O, in chunks of any size, into buffers that are used again."""

import ctypes
import errno
import fcntl
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core import commp
from ptolemy_core.reader import Limits, forward, inspect_car, verify_car
from ptolemy_core.reader.forward import ChunkBuffers, ForwardFile
from ptolemy_core.reader.threads import HashThreads
from tests.reader.encoder import SMALL, car, car_v2, leaf, sample, write

PAGE = 4096
CHUNK = 4 * PAGE
SIZES = [0, 1, PAGE, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 2 * PAGE + 7]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CHUNK", CHUNK)
    monkeypatch.setattr(forward, "_SMALL", PAGE)
    monkeypatch.setattr(forward, "_HEADROOM", 2 * PAGE)


def content(size: int) -> bytes:
    return bytes(n * 7 + n // 256 & 0xFF for n in range(size))


def put_away(path: Path) -> None:
    """Out of the page cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def chunks(path: Path, kept: int = 0) -> Iterator[bytes]:
    """The file's chunks, each read after the last bytes of the one before it."""
    with path.open("rb", buffering=0) as file, ForwardFile(file.fileno(), ChunkBuffers()) as reader:
        last = b""
        while True:
            before = last[len(last) - kept :] if kept else b""
            joined = bytes(reader.read_after(before))
            assert joined[: len(before)] == before
            last = joined[len(before) :]
            if not last:
                return
            yield last


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kept", [0, 5, 3 * PAGE])
def test_all_bytes_of_a_file_are_read_in_order(tmp_path: Path, size: int, cached: bool, kept: int) -> None:
    path = write(tmp_path / "a", content(size))
    if not cached:
        put_away(path)
    assert b"".join(chunks(path, kept)) == content(size)


def cached_pages(path: Path) -> int:
    """How many pages of a file are in the page cache."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = np.frombuffer(mapped, dtype=np.uint8)
        found = (ctypes.c_ubyte * (len(data) // PAGE))()
        assert (
            ctypes.CDLL(None).mincore(ctypes.c_void_p(data.ctypes.data), ctypes.c_size_t(len(data)), found)
            == 0
        )
        del data
        return sum(one & 1 for one in found)


@pytest.mark.skipif(sys.platform != "linux", reason="direct I/O is an option of Linux")
def test_what_is_not_in_the_page_cache_is_read_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "CHUNK", 1 << 20)
    path = write(tmp_path / "a", content(1 << 10) * (4 << 10))
    put_away(path)
    if cached_pages(path):
        pytest.skip("files of this file system are always in memory")
    assert b"".join(chunks(path)) == path.read_bytes()
    put_away(path)
    assert sum(map(len, chunks(path))) == 4 << 20
    assert cached_pages(path) < 100  # of 1024: one byte of each chunk is looked at


@pytest.mark.parametrize("when", ["set", "read"])
def test_a_file_system_without_direct_io_is_read_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real_control, real_read = fcntl.fcntl, os.preadv
    refused = 0

    def control(descriptor: int, command: int, value: int = 0) -> int:
        nonlocal refused
        if when == "set" and command == fcntl.F_SETFL and value & os.O_DIRECT:
            refused += 1
            raise OSError(errno.EINVAL, "no direct I/O")
        return real_control(descriptor, command, value)

    def read(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        nonlocal refused
        if when == "read" and real_control(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused += 1
            raise OSError(errno.EINVAL, "no direct I/O")
        return real_read(descriptor, buffers, offset, flags)

    monkeypatch.setattr(forward, "_CACHED_ONLY", 0)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "preadv", read)
    path = write(tmp_path / "a", content(5 * CHUNK + 9))
    assert b"".join(chunks(path)) == content(5 * CHUNK + 9)
    assert refused == 1


def test_a_disk_that_fails_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_read = os.preadv

    def read(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if offset >= 2 * CHUNK:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_read(descriptor, buffers, offset, flags)

    path = write(tmp_path / "a", content(5 * CHUNK))
    monkeypatch.setattr(os, "preadv", read)
    with pytest.raises(OSError, match="Input/output"):
        list(chunks(path))


def test_a_buffer_is_used_again_once_no_part_of_it_is_in_use() -> None:
    buffers = ChunkBuffers()
    first = buffers.take().data[10:20]
    first[:] = b"0123456789"
    second = buffers.take().data
    second[10:20] = b"abcdefghij"
    assert bytes(first) == b"0123456789"
    assert len(buffers) == 0
    del first
    assert len(buffers) == 1
    assert bytes(buffers.take().data[10:20]) == b"0123456789"


def test_sections_over_the_ends_of_chunks_are_read_whole(tmp_path: Path) -> None:
    data = car(sample())
    for size in (100, 333, PAGE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(forward, "CHUNK", size)
            report = verify_car(write(tmp_path / "a.car", data), SMALL)
        assert report.ok
        assert report.piece_cid_v1 == commp.piece_cid_v1(commp.PieceCommitment(data).digest())


def test_a_block_that_is_larger_than_a_chunk_is_read_whole(tmp_path: Path) -> None:
    dag = leaf(content(5 * CHUNK + 3))
    found = inspect_car(write(tmp_path / "a.car", car(dag)))
    assert (found.ok, found.blocks, found.block_bytes) == (True, 1, 5 * CHUNK + 3)


@pytest.mark.parametrize("index", [b"", b"i" * 10, b"i" * (3 * CHUNK)])
def test_the_index_of_a_car_v2_is_no_part_of_its_blocks_and_is_read_to_the_end(
    tmp_path: Path, index: bytes
) -> None:
    data = car_v2(car(sample()), index, 5)
    seen = bytearray()
    found = inspect_car(write(tmp_path / "a.car", data), tap=seen.extend)
    assert (found.ok, found.version, found.blocks) == (True, 2, len(sample().blocks))
    assert bytes(seen) == data


def test_cars_that_are_verified_one_after_the_other_share_buffers(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.car", car(leaf(content(3 * CHUNK + n)))) for n in range(4)]
    with HashThreads(1) as one:
        verify_car(paths[0], SMALL, limits=Limits(threads=one))
        made = len(one.chunks)
        for path in paths[1:]:
            verify_car(path, SMALL, limits=Limits(threads=one))
        assert made <= len(one.chunks) <= made + 2
