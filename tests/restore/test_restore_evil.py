"""No CAR, and nobody beside, makes a restore write outside its target or follow a link."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ptolemy_core.restore.target import EntryError, TakenError, Target, TargetError
from tests.reader.encoder import (
    Dag,
    Named,
    car,
    directory,
    file,
    file_node,
    leaf,
    plain_directory,
    symlink,
    write,
)

from .trees import extract, read_tree

FILE = leaf(b"payload")


def evil(tmp_path: Path, entries: Sequence[Named]) -> Path:
    return write(tmp_path / "evil.car", car(plain_directory(entries)))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"mine")
    return folder


BAD = [b"", b".", b"..", b"/", b"/etc", b"a/b", b"../outside/file", b"x\0y", b"\0"]
# what is left of the name when the shard's or the escape's ending is taken off
HIDDEN = [b"...ptolemy0", b"..ptolemy0", b".ptolemy0", b".ptolemy_", b"..ptolemy_", b"...ptolemy_"]


@pytest.mark.parametrize("name", BAD + HIDDEN)
@pytest.mark.parametrize("kind", ["file", "link", "folder", "folder with a file"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, outside: Path, name: bytes, kind: str) -> None:
    entry = {
        "file": FILE,
        "link": symlink(b"outside"),
        "folder": directory({}),
        "folder with a file": plain_directory([(b"file", FILE)]),
    }[kind]
    to = tmp_path / "deep" / "to"
    report = extract([evil(tmp_path, [(name, entry), (b"zz good", FILE)])], to)
    whole = kind == "file" or name not in HIDDEN or name.endswith(b"_")
    if whole:
        assert not report.ok
        assert read_tree(to) == {b"zz good": b"payload"}
    else:  # folders and links are no shards: the name is a name like any other
        assert report.ok
    assert sorted(os.listdir(tmp_path / "deep")) == ["to"]
    assert read_tree(outside) == {b"file": b"mine"}


@pytest.mark.parametrize("target", [b"../outside", b"/tmp", b"..", b"."])
def test_link_and_folder_of_one_name(tmp_path: Path, outside: Path, target: bytes) -> None:
    """A link first, then a folder of the same name whose file would go through the link."""
    if target == b"/tmp":
        target = os.fsencode(outside)
    below = plain_directory([(b"file", FILE), (b"new", FILE)])
    for entries in ([(b"d", symlink(target)), (b"d", below)], [(b"d", below), (b"d", symlink(target))]):
        to = tmp_path / "to"
        report = extract([evil(tmp_path, entries)], to)
        assert not report.ok
        assert read_tree(outside) == {b"file": b"mine"}
        assert sorted(os.listdir(tmp_path)) == ["evil.car", "outside", "to"]


def test_links_are_made_and_never_followed(tmp_path: Path, outside: Path) -> None:
    entries = [(b"a", symlink(b"../outside/file")), (b"b", symlink(os.fsencode(outside)))]
    report = extract([evil(tmp_path, entries)], tmp_path / "to")
    assert report.ok
    assert os.readlink(tmp_path / "to/a") == "../outside/file"
    assert read_tree(outside) == {b"file": b"mine"}


@pytest.mark.parametrize("replace", [False, True])
def test_links_in_the_target_are_not_followed(tmp_path: Path, outside: Path, replace: bool) -> None:
    to = tmp_path / "to"
    to.mkdir()
    os.symlink(outside, to / "d")
    os.symlink(outside / "file", to / "f")
    tree = directory({b"d": directory({b"file": FILE}), b"f": FILE, b"good": FILE})
    report = extract([write(tmp_path / "a.car", car(tree))], to, replace=replace)
    assert read_tree(outside) == {b"file": b"mine"}
    assert (to / "good").read_bytes() == b"payload"
    problems = dict(report.problems)
    assert "d is in the way" in problems["d/file"]
    if replace:
        assert (to / "f").read_bytes() == b"payload"
        assert not (to / "f").is_symlink()
    else:
        assert "already exists and differs" in problems["f"]
        assert (to / "f").is_symlink()


def test_state_folder_may_be_no_link(tmp_path: Path, outside: Path) -> None:
    to = tmp_path / "to"
    to.mkdir()
    os.symlink(outside, to / ".ptolemy-restore")
    with pytest.raises(TargetError, match="can't be written"):
        extract([evil(tmp_path, [(b"a", FILE)])], to)
    assert read_tree(outside) == {b"file": b"mine"}


def test_a_tree_may_hold_the_state_folders_name(tmp_path: Path) -> None:
    tree = {
        b".ptolemy-restore": FILE,
        b".ptolemy-restore-1": directory({b"x": FILE}),
        b"big": file(bytes(99)),
    }
    assert extract([write(tmp_path / "a.car", car(directory(tree)))], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {
        b".ptolemy-restore": b"payload",
        b".ptolemy-restore-1": {b"x": b"payload"},
        b"big": bytes(99),
    }


def test_a_folder_that_becomes_a_link_meanwhile(tmp_path: Path, outside: Path) -> None:
    to = tmp_path / "to"
    with Target(os.fsencode(to), b"state") as target:
        target.folder((b"a",))
        os.rename(to / "a", to / "moved")
        os.symlink(outside, to / "a")
        os.close(target.open_part(b"new", empty=True))
        target.place(b"new", (b"a", b"placed"), replace=False)
        with pytest.raises(EntryError, match="b is in the way"):
            os.symlink(outside, to / "b")
            target.folder((b"b",))
        with pytest.raises(EntryError, match="a is in the way"):
            target.folder((b"a",))  # it was closed: this looks again
    assert read_tree(outside) == {b"file": b"mine"}
    assert (to / "moved" / "placed").exists()


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    to = tmp_path / "to"
    with Target(os.fsencode(to), b"state") as target:
        os.close(target.open_part(b"new", empty=True))
        (to / "a").write_bytes(b"mine")
        with pytest.raises(TakenError):
            target.place(b"new", (b"a",), replace=False)
        assert (to / "a").read_bytes() == b"mine"
        target.place(b"new", (b"a",), replace=True)
        assert (to / "a").read_bytes() == b""


@pytest.mark.parametrize("size", [7, 99])
def test_one_name_twice(tmp_path: Path, size: int) -> None:
    """The first stands; what differs is named; bytes of the second never reach the first."""
    one, two = file(b"1" * size), file(b"2" * size)
    report = extract([evil(tmp_path, [(b"a", one), (b"a", two)])], tmp_path / "to")
    assert read_tree(tmp_path / "to") == {b"a": b"1" * size} | (
        {b".ptolemy-restore": read_tree(tmp_path / "to/.ptolemy-restore")}
        if (tmp_path / "to/.ptolemy-restore").exists()
        else {}
    )
    assert [path for path, _ in report.problems] == ["a"]
    report = extract([evil(tmp_path, [(b"a", one), (b"a", one)])], tmp_path / "same")
    assert report.ok
    assert read_tree(tmp_path / "same") == {b"a": b"1" * size}


def lying(filesize: int, sizes: list[int]) -> Dag:
    return file_node([leaf(b"12345678"), leaf(b"1234")], filesize, sizes)


@pytest.mark.parametrize(
    "sizes",
    [
        [13, 8, 4],
        [11, 8, 4],
        [12, 4, 8],
        [12, 8],
        [12, 8, 4, 0],
        [1 << 60, 8, 4],
        [1 << 62, 1 << 61, 1 << 61],
        [0],
        [0, 8, 4],
    ],
)
def test_sizes_that_lie_are_named_and_the_rest_comes(tmp_path: Path, sizes: list[int]) -> None:
    bad = lying(sizes[0], sizes[1:])
    path = evil(tmp_path, [(b"bad", bad), (b"good", FILE)])
    if max(sizes) > 1 << 50:
        with pytest.raises(TargetError, match="free"):
            extract([path], tmp_path / "to")
        return
    report = extract([path], tmp_path / "to")
    assert [name for name, _ in report.problems] == ["bad"]
    assert (tmp_path / "to/good").read_bytes() == b"payload"
    assert not (tmp_path / "to/bad").exists()


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = evil(tmp_path, [(b"a", file(bytes(99)))])
    monkeypatch.setattr(Target, "free_bytes", lambda self: 98)
    with pytest.raises(TargetError, match="98 B free, 99 B must be written"):
        extract([path], tmp_path / "to")
    assert os.listdir(tmp_path / "to") == []
    monkeypatch.setattr(Target, "free_bytes", lambda self: 99)
    assert extract([path], tmp_path / "to").ok
    monkeypatch.setattr(Target, "free_bytes", lambda self: 0)
    assert extract([path], tmp_path / "to").kept == 1


def test_target_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "to").write_bytes(b"")
    with pytest.raises(TargetError, match="can't be used as target"):
        extract([evil(tmp_path, [(b"a", FILE)])], tmp_path / "to")
