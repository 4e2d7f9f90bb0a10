"""After the scan a folder is replaced by a link to a folder outside, whose files imitate size and mtime."""

import mmap
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptolemy_core.errors import SourceError
from ptolemy_core.kernel import _native, files
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import beneath, posix
from ptolemy_core.source.walk import walk
from ptolemy_core.stages import watch
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import LEFT_OUT, Kind
from tests.car import scene
from tests.stages.conftest import Scene

LINK = "a folder in its path is now a link"
TREE: scene.oracle.Content = {
    b"a": b"first",
    b"d": {
        b"big": b"b" * 3000,
        b"deep": {b"down": b"y" * 70, b"void": {}},
        b"link": scene.oracle.Link(b"big"),
        b"small": b"x" * 50,
    },
}


@pytest.fixture(params=["openat2", "by steps", "python"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of opening beneath a folder."""
    monkeypatch.setattr(files, "BY_STEPS", request.param == "by steps")
    if request.param == "python":
        monkeypatch.setattr(_native, "library", lambda: "no compiled kernel")


def imitate(target: Path, name: str = "d") -> None:
    """The folder becomes a link to one outside with other bytes, of the same sizes and mtimes."""
    inside, outside = target / name, target.parent / f"outside-{target.name}"
    shutil.copytree(inside, outside, symlinks=True)
    for folder, _, names in os.walk(outside):
        for one in names:
            path = Path(folder, one)
            if path.is_symlink():
                continue
            before = path.stat()
            path.write_bytes(b"S" * before.st_size)
            os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    inside.rename(target.parent / f"was-{target.name}")
    inside.symlink_to(outside)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return Path(os.fsdecode(scene.write_tree(tmp_path / "t", TREE)))


def test_the_build_refuses_and_names_the_file(target: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    _, inputs = scene.whole(bytes(target))
    imitate(target)
    with pytest.raises(SourceError, match=rf"{target}/d/\w+ changed since the scan, {LINK}: scan again"):
        build_car(compute_layout(inputs.items), inputs, str(staging), ".p")
    assert list(staging.iterdir()) == []


def test_every_read_of_every_item_refuses(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, inputs = scene.whole(bytes(target))
    assert len(inputs.items) == 6
    inputs.check(1)
    imitate(target)
    monkeypatch.setattr(posix.descriptors, "_DIRECT_FROM", 1)
    for item in range(1, 6):
        size = int(inputs.items.sizes[item])
        with pytest.raises(SourceError, match=LINK):
            inputs.check(item)
        if inputs.items.kinds[item] == Kind.FILE:
            with pytest.raises(SourceError, match=LINK):
                inputs.read_into(item, 0, [memoryview(bytearray(size))])
    inputs.read_into(0, 0, [memoryview(bytearray(5))])


def test_reading_many_at_once_leaves_them_to_the_read_that_names_them(target: Path) -> None:
    _, inputs = scene.whole(bytes(target))
    rows = np.flatnonzero(inputs.items.kinds == Kind.FILE)
    buffer, places = mmap.mmap(-1, 1 << 14), np.arange(len(rows)) * 4096
    before = inputs.read_small(rows, buffer, places)
    assert before.all() or isinstance(_native.library(), str)
    imitate(target)
    assert inputs.read_small(rows, buffer, places).tolist() == [before[0], False, False, False]


def test_a_link_in_the_middle_of_a_path_is_refused_too(target: Path) -> None:
    _, inputs = scene.whole(bytes(target))
    imitate(target / "d", "deep")
    down = inputs.items.paths.index(b"d\0deep\0down")
    with pytest.raises(SourceError, match=f"{target}/d/deep/down changed since the scan, {LINK}"):
        inputs.read_into(down, 0, [memoryview(bytearray(70))])


def test_a_link_that_stays_beneath_the_target_is_refused_too(target: Path) -> None:
    _, inputs = scene.whole(bytes(target))
    (target / "d").rename(target / "moved")
    (target / "d").symlink_to("moved")
    with pytest.raises(SourceError, match=LINK):
        inputs.check(1)


def test_a_path_that_leads_up_is_refused(target: Path) -> None:
    (target.parent / "secret").write_bytes(b"x")
    with beneath.opened(bytes(target)) as root:
        for path in (b"..\0secret", b"d\0..\0..\0secret", b""):
            with pytest.raises(OSError, match="(?i)cross-device|No such file"):
                os.close(files.open_beneath(root, path, os.O_RDONLY))


def test_the_walk_does_not_follow_a_folder_that_became_a_link_under_it(target: Path) -> None:
    """The target is listed, then `d` is replaced, before its own folders are opened."""
    swapped = []

    def swap(path: bytes, token: int) -> None:
        if path == b"d":  # open already; what is below it isn't
            imitate(target)
            swapped.append(path)

    found = {entry.path: entry for entry in walk(bytes(target), folder=swap)}
    assert swapped == [b"d"]
    deep = found[b"d\0deep"]
    assert deep.kind == LEFT_OUT
    assert deep.reason in (
        "can't be listed: Too many levels of symbolic links",
        "can't be listed: Not a directory",
    )


def test_the_comparison_with_the_source_refuses(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    stage.blitz()
    imitate(stage.target)
    (verdict,) = stage.verify(source=True)
    assert any(
        f"d/small can't be compared with the source: {LINK}" in problem for problem in verdict.problems
    )


def test_the_watch_sees_a_folder_that_became_a_link_as_changed(stage: Scene) -> None:
    stage.put(TREE)
    with beneath.opened(bytes(stage.target)) as root:
        assert watch._token(root, b"d\0deep") == (stage.target / "d" / "deep").stat().st_mtime_ns
        before = (stage.target / "d" / "deep").stat().st_mtime_ns
        imitate(stage.target)
        outside = stage.target.parent / f"outside-{stage.target.name}"
        os.utime(outside / "deep", ns=(before, before))
        assert watch._token(root, b"d") is None
        assert watch._token(root, b"d\0deep") is None
        entries: list[Any] = watch._entries(root, b"d\0deep", None, 10, {})
    assert len(entries) == 1
    assert entries[0][0].startswith(b"[Errno ")
