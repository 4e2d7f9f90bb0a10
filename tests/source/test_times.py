"""Times that don't fit in 64 bits of nanoseconds: what can't be kept is named, never wrapped."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.car.root import root_cid
from ptolemy_core.catalog import projects
from ptolemy_core.errors import SourceError, UnreadableError
from ptolemy_core.kernel import folders
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.source.walk import entry_at, walk
from ptolemy_core.stages import watch
from ptolemy_core.tree import LEFT_OUT, Kind
from tests.car import scene
from tests.stages.conftest import Scene

LAST = (1 << 63) - 1
FIRST = -1 << 63
ODD = "its modification time is before 1677 or after 2262 and can't be stored: set another one with touch"
MEMORY = Path("/dev/shm")


def set_time(path: Path, when: int) -> None:
    """Set an mtime; skip the test where the file system doesn't keep it."""
    os.utime(path, ns=(0, when), follow_symlinks=False)
    if os.lstat(path).st_mtime_ns != when:
        pytest.skip(f"this file system keeps {os.lstat(path).st_mtime_ns} for {when}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    content: scene.oracle.Content = {
        b"d": {b"f": b"in it"},
        b"e": {},
        b"f": b"data",
        b"l": scene.oracle.Link(b"f"),
    }
    return Path(os.fsdecode(scene.write_tree(tmp_path / "t", content)))


def listed(folder: Path) -> list[tuple[int, int]]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = folders.list_folder(descriptor, b"")
        assert found == folders._list_in_python(descriptor, b"")
    finally:
        os.close(descriptor)
    return [(mode & folders.NO_TIME, mtime) for mode, mtime in zip(found.modes, found.mtimes, strict=True)]


def test_times_wrap_nowhere_in_a_listing(tmp_path: Path) -> None:
    """2300, and the last and first nanoseconds that fit and don't."""
    folder = tmp_path
    for name, when in (("a", LAST), ("b", LAST + 1), ("c", 10_413_792_000 * 10**9)):
        (folder / name).touch()
        set_time(folder / name, when)
    assert listed(folder) == [(0, LAST), (folders.NO_TIME, 0), (folders.NO_TIME, 0)]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a file system that keeps any time."""
    if not MEMORY.is_dir():
        pytest.skip("there is no such file system here")
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def test_the_first_times_that_fit_are_kept(memory: Path) -> None:
    for name, when in (("a", FIRST), ("b", FIRST - 1), ("c", FIRST + 10**9), ("d", 1 << 66)):
        (memory / name).touch()
        set_time(memory / name, when)
    assert listed(memory) == [(0, FIRST), (folders.NO_TIME, 0), (0, FIRST + 10**9), (folders.NO_TIME, 0)]


def test_an_entry_whose_time_cannot_be_kept_is_left_out_by_name(tree: Path) -> None:
    for name in ("e", "f", "l"):
        set_time(tree / name, LAST + 1)
    found = {entry.path: (entry.kind, entry.token, entry.reason) for entry in walk(bytes(tree))}
    assert {name: found[name] for name in (b"e", b"f", b"l")} == dict.fromkeys(
        (b"e", b"f", b"l"), (LEFT_OUT, 0, ODD)
    )
    assert found[b"d\0f"][0] == Kind.FILE
    assert entry_at(bytes(tree / "f")).reason == ODD
    for path in (tree, tree / "f"):
        with pytest.raises(SourceError, match="modification time"):
            root_cid(bytes(path))


def test_a_folder_with_something_in_it_may_have_any_time(tree: Path) -> None:
    set_time(tree / "d", LAST + 1)
    assert b"d\0f" in {entry.path for entry in walk(bytes(tree)) if entry.kind == Kind.FILE}


def test_a_file_that_got_such_a_time_after_the_scan_has_changed(memory: Path) -> None:
    """Also where its time, wrapped, is the very one that was scanned."""
    path = memory / "f"
    path.write_bytes(b"data")
    _, inputs = scene.whole(bytes(memory))
    set_time(path, path.stat().st_mtime_ns + (1 << 64))
    rows, buffer = np.array([0]), mmap.mmap(-1, 4096)
    assert inputs.read_small(rows, buffer, np.array([0])).tolist() == [False]
    with pytest.raises(SourceError, match="f changed since the scan, its modification time changed"):
        inputs.read_into(0, 0, [memoryview(bytearray(4))])


def test_the_stages_leave_it_out_with_its_reason_and_watch_the_rest(make: object) -> None:
    stage: Scene = make(watch=True)  # type: ignore[operator]
    stage.put({b"f": b"data", b"odd": b"late", b"sub": {b"g": b"x"}})
    set_time(stage.target / "odd", LAST + 1)
    set_time(stage.target / "sub", LAST + 1)
    with pytest.raises(UnreadableError, match=f"1 entry of .* can't be stored \\(odd: {ODD}\\)"):
        stage.scan()
    projects.change(stage.catalog, stage.name, {"on_error": "skip"})
    result = stage.scan()
    assert (result.files, result.left_out, result.left_out_sample) == (2, 1, [("odd", ODD)])
    look = watch.look(stage.catalog, stage.project, watch.State(), 0.0)
    look = watch.look(stage.catalog, stage.project, look.state, 1.0)
    assert look.said.startswith("nothing changed in 2 folders")
    set_time(stage.target / "sub", LAST + 2)
    assert watch.look(stage.catalog, stage.project, look.state, 2.0).said.startswith("sub changed")


def test_wrapped_numbers_differ_where_the_numbers_do() -> None:
    numbers = [FIRST, -1, 0, LAST, LAST + 1, LAST + 2, FIRST - 3]
    assert len({wrapped(n) for n in numbers}) == len(numbers) - 1  # FIRST and LAST + 1 are 2^64 apart
    assert all(FIRST <= wrapped(n) <= LAST for n in numbers)
    assert [wrapped(n) for n in numbers[:4]] == numbers[:4]
