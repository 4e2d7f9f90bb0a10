"""Which file system a folder is on, across mounts."""

import os
from pathlib import Path

import pytest

from ptolemy_core.source import filesystem
from ptolemy_core.source.filesystem import FileSystem, from_json, look
from tests.source.mounts import mount, needs_mounts, tmpfs, unmount, with_own_mounts


@pytest.mark.parametrize(
    ("one", "two", "is_other"),
    [
        (FileSystem("ext4", "aa", "", "1"), FileSystem("ext4", "aa", "", "2"), False),
        (FileSystem("ext4", "aa", "", "1"), FileSystem("ext4", "bb", "", "1"), True),
        (FileSystem("xfs", "", "", "1"), FileSystem("xfs", "aa", "", "1"), False),
        (FileSystem("xfs", "", "", "1"), FileSystem("xfs", "aa", "", "2"), True),
        (FileSystem("nfs4", "", "server:/a", ""), FileSystem("nfs4", "", "server:/a", "7"), False),
        (FileSystem("nfs4", "", "server:/a", ""), FileSystem("nfs4", "", "server:/b", ""), True),
        (FileSystem("nfs4", "", "server:/a", ""), FileSystem("ext4", "aa", "", "1"), True),
        (FileSystem("", "", "", ""), FileSystem("ext4", "aa", "", "1"), False),
    ],
)
def test_the_best_that_is_known_of_both_is_compared(one: FileSystem, two: FileSystem, is_other: bool) -> None:
    assert one.is_other(two) == two.is_other(one) == is_other


def test_a_folder_is_on_the_file_system_of_the_one_above_it(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    above, below = look(bytes(tmp_path)), look(bytes(tmp_path / "d"))
    assert above.top == below.top
    assert not above.top.is_other(below.top)
    assert above.inode != below.inode


@needs_mounts
def test_a_mount_is_another_file_system_and_a_bind_mount_is_not(tmp_path: Path) -> None:
    place, other = tmp_path / "a b\\\n", tmp_path / "other"
    place.mkdir()
    other.mkdir()

    def work() -> None:
        bare = look(bytes(place)).top
        tmpfs(place)
        first = look(bytes(place)).top
        assert first.type == "tmpfs"
        assert first.is_other(bare)
        mount("--bind", place, other)
        assert not look(bytes(other)).top.is_other(first)
        unmount(other)
        unmount(place)
        assert not look(bytes(place)).top.is_other(bare)
        tmpfs(place)
        assert look(bytes(place)).top.is_other(first)

    with_own_mounts(work)


@needs_mounts
def test_mounts_below_are_known_by_any_name_and_kept_as_text(tmp_path: Path) -> None:
    names = [b"x y", b"odd\\\n\xff", b"deep"]

    def work() -> None:
        for name in names:
            place = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
            place.mkdir()
            tmpfs(place)
        (tmp_path / "deep" / "er").mkdir()
        tmpfs(tmp_path / "deep" / "er")
        found = look(bytes(tmp_path))
        assert found.below.keys() == {*names, b"deep/er"}
        kept = from_json(found.as_json())
        assert (kept.top, kept.below) == (found.top, found.below)
        assert len(look(bytes(tmp_path), most=2).below) == 2

    with_own_mounts(work)


def test_without_proc_the_folder_itself_is_still_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = look(bytes(tmp_path))
    monkeypatch.setattr(filesystem, "_mountinfo", lambda: iter(()))
    assert not look(bytes(tmp_path)).top.is_other(usual.top)
