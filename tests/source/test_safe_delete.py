"""Deletion below a folder never takes what somebody has just put there, whatever moment it is cut off at."""

import ctypes
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.source import rename, safe_delete
from ptolemy_core.source.rename import rename_new
from ptolemy_core.source.safe_delete import DiffersError, Known, OpenFolder, Outcome, private_name
from ptolemy_core.tree import Kind
from tests.car.nobody import open_folder, unprivileged

ROUNDS, FILES = 60, 60


def confirmed(descriptor: int, status: os.stat_result) -> None:
    """Says that the content is the right one."""


def known(path: Path, **more: Any) -> Known:
    status = path.lstat()
    kind = Kind.SYMLINK if path.is_symlink() else Kind.FILE
    target = os.fsencode(os.readlink(path)) if path.is_symlink() else None
    return Known(
        os.fsencode(path.name), kind, status.st_size, status.st_mtime_ns, target, status.st_ino, **more
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OpenFolder]:
    with OpenFolder(os.fsencode(tmp_path)) as opened:
        yield opened


def reason(folder: OpenFolder, one: Known, aside: bytes | None = None) -> str:
    with pytest.raises(DiffersError) as caught:
        folder.delete(one, aside or private_name(), confirmed)
    return str(caught.value)


def replaced_in_another_process(root: Path, seed: int) -> int:
    """Each of the round's files is replaced once, by write and rename; its process."""
    child = os.fork()
    if child:
        return child
    try:
        order = random.Random(seed)
        for k in range(FILES):
            (root / "new").write_bytes(b"new")
            for _ in range(order.randrange(60)):
                os.getpid()
            os.rename(root / "new", root / str(k))
    finally:
        os._exit(0)


def test_of_thousands_of_files_replaced_meanwhile_none_is_lost(tmp_path: Path) -> None:
    deleted = 0
    for turn in range(ROUNDS):
        root = tmp_path / str(turn)
        root.mkdir()
        for k in range(FILES):
            (root / str(k)).write_bytes(b"old")
        scanned = [known(root / str(k)) for k in range(FILES)]
        child = replaced_in_another_process(root, turn)
        with OpenFolder(os.fsencode(root)) as opened:
            for one in scanned:
                try:
                    opened.delete(one, private_name(), confirmed)
                    deleted += 1
                except DiffersError:
                    pass
        os.waitpid(child, 0)
        assert sorted(os.listdir(root)) == sorted(map(str, range(FILES)))
        assert {(root / str(k)).read_bytes() for k in range(FILES)} == {b"new"}
    assert deleted > 0


def at_rename(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Somebody does something right before and right after the file is set aside."""
    real = os.rename
    calls: list[Any] = []

    def meanwhile(*arguments: Any, **more: Any) -> None:
        calls.append(arguments)
        first = len(calls) == 1
        if first:
            before()
        real(*arguments, **more)
        if first:
            after()

    monkeypatch.setattr(safe_delete.os, "rename", meanwhile)


def nothing() -> None:
    pass


@pytest.mark.parametrize("what", ["file", "link", "folder"])
@pytest.mark.parametrize("flags", [True, False])
def test_what_was_put_there_right_before_gets_its_name_back(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch, what: str, flags: bool
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    one = known(path)
    if not flags:
        without_flags(monkeypatch)

    def replace() -> None:
        path.unlink()
        if what == "file":
            path.write_bytes(b"new")
        elif what == "link":
            path.symlink_to("elsewhere")
        else:
            path.mkdir()

    with monkeypatch.context() as patched:
        at_rename(patched, replace, nothing)
        assert reason(folder, one) == "it is being replaced"
    assert os.listdir(tmp_path) == ["a"]
    assert {"file": path.is_file, "link": path.is_symlink, "folder": path.is_dir}[what]()


def test_replaced_twice_both_are_kept(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    one, aside = known(path), private_name()
    (tmp_path / "1").write_bytes(b"newer")
    at_rename(
        monkeypatch, lambda: os.replace(tmp_path / "1", path), lambda: path.write_bytes(b"newest") and None
    )
    assert aside.decode() in reason(folder, one, aside)
    assert path.read_bytes() == b"newest"
    assert (tmp_path / aside.decode()).read_bytes() == b"newer"


def test_what_is_created_while_the_old_one_goes_stays(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    at_rename(monkeypatch, nothing, lambda: path.write_bytes(b"new") and None)
    folder.delete(known(path), private_name(), confirmed)
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"new"


def test_what_is_written_in_place_while_it_is_read_stays(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no leases: the time of change tells, which can't be set back."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    times = path.stat()

    def write(descriptor: int, status: os.stat_result) -> None:
        path.write_bytes(b"new")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    monkeypatch.setattr(safe_delete, "_lease", lambda descriptor: False)
    with pytest.raises(DiffersError, match="it is being changed"):
        folder.delete(known(path), private_name(), write)
    assert path.read_bytes() == b"new"


def test_who_opens_it_for_writing_while_it_is_read_keeps_it(tmp_path: Path, folder: OpenFolder) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def wants_to_write(descriptor: int, status: os.stat_result) -> None:
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    try:
        with pytest.raises(DiffersError, match="it is being changed"):
            folder.delete(known(path), private_name(), wants_to_write)
    except pytest.fail.Exception:
        pytest.skip("this file system has no leases")
    assert path.read_bytes() == b"old"


def without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that doesn't know RENAME_NOREPLACE, as NFS."""

    def refused(*_: Any) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(rename, "_renameat2", lambda: refused)


@pytest.mark.parametrize("flags", [True, False])
def test_renaming_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: bool) -> None:
    if not flags:
        without_flags(monkeypatch)
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    at = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            rename_new(at, b"a", b"b")
        rename_new(at, b"a", b"c")
        with pytest.raises(FileNotFoundError):
            rename_new(at, b"a", b"d")
    finally:
        os.close(at)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {"b": b"b", "c": b"a"}


STATES = {
    "not begun": ({"a": b"old"}, Outcome.BACK, {"a": b"old"}),
    "set aside": ({"ASIDE": b"old"}, Outcome.BACK, {"a": b"old"}),
    "gone": ({}, Outcome.DELETED, {}),
    "gone, and a newer one there": ({"a": b"newer"}, Outcome.DELETED, {"a": b"newer"}),
    "set aside, and a newer one there": ({"ASIDE": b"old", "a": b"newer"}, Outcome.DELETED, {"a": b"newer"}),
}


@pytest.mark.parametrize("state", STATES)
def test_what_was_cut_off_is_settled(tmp_path: Path, folder: OpenFolder, state: str) -> None:
    before, outcome, after = STATES[state]
    path = tmp_path / "a"
    path.write_bytes(b"old")
    one, aside = known(path), private_name()
    os.rename(path, tmp_path / "kept")
    for name, content in before.items():
        if content == b"old":
            os.rename(tmp_path / "kept", tmp_path / name.replace("ASIDE", aside.decode()))
        else:
            (tmp_path / name).write_bytes(content)
    (tmp_path / "kept").unlink(missing_ok=True)
    assert folder.settle(one, aside, confirmed) is outcome
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == after


def test_what_got_its_name_back_by_half_is_settled(tmp_path: Path, folder: OpenFolder) -> None:
    """A file system without flags: the second name is there, the first not yet removed."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    one, aside = known(path), private_name()
    os.link(path, tmp_path / aside.decode())
    assert folder.settle(one, aside, confirmed) is Outcome.BACK
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("wrong", ["content", "inode"])
def test_what_was_set_aside_and_is_another_is_kept_and_named(
    tmp_path: Path, folder: OpenFolder, wrong: str
) -> None:
    path, aside = tmp_path / "a", private_name()
    path.write_bytes(b"old")
    one = known(path)
    if wrong == "inode":
        other = tmp_path / "other"
        other.write_bytes(b"odd")
        os.utime(other, ns=(one.mtime, one.mtime))
        os.replace(other, tmp_path / aside.decode())
        path.unlink()
    else:
        os.rename(path, tmp_path / aside.decode())
    path.write_bytes(b"newer")
    with pytest.raises(DiffersError, match=f"kept in the same folder as {aside.decode()}"):
        folder.settle(one, aside, (lambda *_: "its content is another") if wrong == "content" else confirmed)
    assert sorted(os.listdir(tmp_path)) == sorted([aside.decode(), "a"])


def test_a_folder_that_became_a_link_settles_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "a").write_bytes(b"old")
    one = Known(b"d\0a", Kind.FILE, 3, (root / "d" / "a").stat().st_mtime_ns)
    os.rename(root / "d", tmp_path / "moved")
    (root / "d").symlink_to(tmp_path / "moved")
    with OpenFolder(os.fsencode(root)) as opened:
        assert opened.settle(one, private_name(), confirmed) is Outcome.UNREACHABLE


def test_a_folder_that_may_not_be_written_keeps_its_files() -> None:
    with open_folder() as root:
        (root / "a").write_bytes(b"old")
        one = known(root / "a")
        (root / "a").chmod(0o644)
        root.chmod(0o555)

        def work() -> str:
            with OpenFolder(os.fsencode(root)) as opened:
                try:
                    opened.delete(one, private_name(), confirmed)
                except DiffersError as differs:
                    return str(differs)
            return "deleted"

        said = unprivileged(work)
        root.chmod(0o777)
        assert said == "it can't be deleted (Permission denied)"
        assert os.listdir(root) == ["a"]


def test_a_lost_answer_of_a_file_server_loses_nothing(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename is done, but an error comes back."""
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def lost() -> None:
        raise OSError(errno.EIO, "Input/output error")

    at_rename(monkeypatch, nothing, lost)
    assert "Input/output error" in reason(folder, known(path))
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_that_is_replaced_by_the_same_one_is_noticed_by_its_inode(
    tmp_path: Path, folder: OpenFolder
) -> None:
    link = tmp_path / "link"
    link.symlink_to("there")
    one = known(link)
    (tmp_path / "other").symlink_to("there")
    os.utime(tmp_path / "other", ns=(one.mtime, one.mtime), follow_symlinks=False)
    os.replace(tmp_path / "other", link)
    assert reason(folder, one) == "it is being replaced"
    folder.delete(known(link), private_name(), confirmed)
    assert os.listdir(tmp_path) == []


def test_on_an_empty_mount_point_nothing_is_known_to_be_gone(tmp_path: Path) -> None:
    """The disk isn't mounted when an interrupted deletion is settled."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    one, aside = known(root / "a"), private_name()
    with OpenFolder(os.fsencode(root)) as opened:
        then = opened.inode
    os.rename(root / "a", root / aside.decode())
    os.rename(root, tmp_path / "disk")
    root.mkdir()
    with OpenFolder(os.fsencode(root)) as opened:
        assert opened.settle(one, aside, confirmed, then) is Outcome.UNREACHABLE
        assert opened.settle(Known(b"d\0x", Kind.FILE, 0, 0), aside, confirmed, then) is Outcome.UNREACHABLE
    os.rmdir(root)
    os.rename(tmp_path / "disk", root)
    with OpenFolder(os.fsencode(root)) as opened:
        assert opened.settle(one, aside, confirmed, then) is Outcome.BACK
    assert os.listdir(root) == ["a"]
