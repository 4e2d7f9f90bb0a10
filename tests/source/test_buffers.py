"""Buffers are this process's alone: a fork neither shares their bytes with the child nor copies them."""

import mmap
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.layout import compute_layout
from ptolemy_core.source.buffers import PAGE, Buffers, new_buffer
from ptolemy_core.staging.build import build_car
from tests.car.scene import whole

SIZE = 4 << 20

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_DONTFORK"), reason="Linux only")


@contextmanager
def forked_child() -> Iterator[int]:
    """A child of a fork, which sleeps until the block ends."""
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def in_child(work: Callable[[], object]) -> None:
    """Do this in a child of a fork, and see that it succeeds."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_a_buffer_has_the_bytes_asked_for() -> None:
    for size in (1, PAGE, PAGE + 1, (2 << 20) + 1, SIZE, 17 << 20):
        with new_buffer(size) as buffer:
            assert len(buffer) >= size


def test_a_buffer_that_was_given_back_is_taken_again() -> None:
    buffers = Buffers(SIZE)
    first, second = buffers.take(), buffers.take()
    assert first is not second
    buffers.give(first)
    assert buffers.take() is first


def test_a_child_of_a_fork_uses_the_same_buffers_and_changes_nothing_of_its_parents() -> None:
    buffers = Buffers(SIZE)
    held, free = buffers.take(), buffers.take()
    held[:] = free[:] = b"p" * len(held)
    buffers.give(free)

    def use() -> None:
        mine = buffers.take()
        for buffer in (mine, held):
            buffer[:] = b"c" * len(buffer)
            assert buffer[:] == b"c" * len(buffer)

    in_child(use)
    assert held[:] == b"p" * len(held)
    assert buffers.take()[:] == b"p" * len(held)


def test_no_page_of_a_buffer_is_copied_after_a_fork() -> None:
    buffer = Buffers(SIZE).take()
    buffer[:] = other = b"p" * SIZE
    with forked_child():
        at_fork = faults()
        buffer[:] = other
        assert faults() - at_fork < SIZE // PAGE // 8


def test_a_fork_in_the_middle_of_a_build_gives_both_processes_the_right_car(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(20 << 20))
    options = BuildOptions(threads=2, unit=127 << 15)
    items, source = whole(os.fsencode(tmp_path / "file"))
    layout = compute_layout(items)

    def build(name: str, progress: Callable[[int], None] | None = None) -> str:
        folder = tmp_path / name
        folder.mkdir()
        built = build_car(layout, source, str(folder), ".t.part", options, progress=progress)
        return built.file_name

    expected = build("expected")

    def build_as_well() -> None:
        assert build("child") == expected

    left = [build_as_well]

    def progress(_: int) -> None:
        while left:
            in_child(left.pop())

    assert build("parent", progress) == expected
    assert not left
    names = ("expected", "child", "parent")
    assert len({(tmp_path / name / expected).read_bytes() for name in names}) == 1
