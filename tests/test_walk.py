"""Walking: every entry once, in path order, with any name, at any depth, and no link followed."""

import errno
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ptolemy_core.car.root import root_cid
from ptolemy_core.errors import SourceError
from ptolemy_core.reader import CarEntry, EachEntry, verify_car
from ptolemy_core.source import walk as walk_module
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.walk import Entry, entry_at, walk, walk_batches
from ptolemy_core.tree import LEFT_OUT, Kind, paths
from tests.car import nobody, scene
from tests.dag import oracle
from tests.dag.trees import folders

UGLY = [
    b"'",
    b'"',
    b"quote'in\"side",
    b"back\\slash",
    b"new\nline",
    b"tab\t",
    b"return\r",
    b" ",
    b".hidden",
    b"..still-hidden",
    b"...",
    b"-rf",
    b"$(echo)",
    b"%s%n",
    b"\xff\xfe invalid",
    b"\xc3\x28",
    b"\x01\x02",
    b"\x7f",
    "e\N{COMBINING ACUTE ACCENT}".encode(),
    "\N{LATIN SMALL LETTER E WITH ACUTE}".encode(),
    b"x" * 255,
    b"\xff" * 255,
]


def rows(root: Path) -> list[tuple[bytes, int]]:
    return [(entry.path, entry.kind) for entry in walk(bytes(root))]


@pytest.mark.parametrize("name", UGLY, ids=ascii)
def test_any_name_survives_walk_and_car(tmp_path: Path, name: bytes) -> None:
    content: oracle.Content = {name: {name: b"data"}, b"z": {name: oracle.Link(name)}}
    root = scene.write_tree(tmp_path / "tree", content)
    assert sorted(entry.path for entry in walk(root)) == sorted([name + b"\0" + name, b"z\0" + name])
    built, _ = scene.build(root, tmp_path, scene.SMALL)
    met: list[CarEntry] = []
    report = verify_car(tmp_path / built.file_name, scene.SMALL, receiver=EachEntry(met.append))
    assert report.findings == ()
    assert {entry.path for entry in met} == {name, name + b"/" + name, b"z", b"z/" + name}


def test_all_ugly_names_in_one_folder_come_in_byte_order(tmp_path: Path) -> None:
    scene.write_tree(tmp_path / "tree", dict.fromkeys(UGLY, b""))
    assert [entry.path for entry in walk(bytes(tmp_path / "tree"))] == sorted(UGLY)


@given(folders())
@settings(deadline=None, max_examples=100)
def test_order_is_that_of_the_sorted_paths(content: oracle.Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [entry.path for entry in walk(scene.write_tree(folder + "/tree", content))]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert set(found) == set(leaves(content, b""))


def leaves(content: oracle.Content, path: bytes) -> Iterator[bytes]:
    if isinstance(content, dict) and (content or not path):
        for name, below in content.items():
            yield from leaves(below, path + b"\0" + name if path else name)
    else:
        yield path


def test_folder_sorts_by_its_names_and_not_by_its_text(tmp_path: Path) -> None:
    """`a/x` before `a.b`, as a tree has it, though `.` sorts before `/`."""
    scene.write_tree(tmp_path / "t", {b"a": {b"x": b""}, b"a.b": b"", b"a b": {}})
    assert [path for path, _ in rows(tmp_path / "t")] == [b"a\0x", b"a b", b"a.b"]


def test_entry_holds_kind_size_mtime_and_target(tmp_path: Path) -> None:
    root = scene.write_tree(tmp_path / "t", {b"f": b"12345", b"e": {}, b"l": oracle.Link(b"\xff/..")})
    os.utime(root + b"/f", ns=(1, 1_600_000_000_123_456_789))
    found = {entry.path: entry for entry in walk(root)}
    assert found[b"f"] == Entry(b"f", Kind.FILE, 5, 1_600_000_000_123_456_789)
    assert (found[b"e"].kind, found[b"e"].size) == (Kind.DIRECTORY, 0)
    assert (found[b"l"].kind, found[b"l"].size, found[b"l"].target) == (Kind.SYMLINK, 4, b"\xff/..")


def test_links_are_entries_and_never_followed(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    scene.write_tree(tree, {b"d": {b"f": b"x"}, b"loop": oracle.Link(b"."), b"up": oracle.Link(b"..")})
    (tree / "dangling").symlink_to("nowhere")
    (tree / "self").symlink_to("self")
    (tree / "d" / "to-folder").symlink_to("../d")
    (tree / "absolute").symlink_to("/")
    kinds = dict(rows(tree))
    assert kinds.pop(b"d\0f") == Kind.FILE
    assert set(kinds) == {b"dangling", b"self", b"loop", b"up", b"d\0to-folder", b"absolute"}
    assert set(kinds.values()) == {Kind.SYMLINK}


def test_special_files_are_left_out_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = {entry.path: (entry.kind, entry.reason) for entry in walk(bytes(tmp_path))}
    assert found == {b"pipe": (LEFT_OUT, "a named pipe"), b"socket": (LEFT_OUT, "a socket")}


def test_what_may_not_be_read_is_left_out_with_a_reason() -> None:
    with nobody.open_folder() as folder:
        tree = folder / "t"
        scene.write_tree(
            tree, {b"closed": {b"f": b"x"}, b"mute": {b"f": b"x"}, b"secret": b"x", b"seen": b"x"}
        )
        (tree / "closed").chmod(0)
        (tree / "mute").chmod(0o444)  # its names can be listed, its entries can't be looked at
        (tree / "secret").chmod(0)

        def work() -> str:
            return repr([(entry.path, int(entry.kind), entry.reason) for entry in walk(bytes(tree))])

        assert nobody.unprivileged(work) == repr(
            [
                (b"closed", LEFT_OUT, "can't be listed: Permission denied"),
                (b"mute\0f", LEFT_OUT, "can't be read: Permission denied"),
                (b"secret", LEFT_OUT, "no permission to read it"),
                (b"seen", int(Kind.FILE), None),
            ]
        )


def test_root_that_is_no_readable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("missing", "file", "link"):
        with pytest.raises(SourceError, match=f"{name} can't be scanned .*: check that the folder exists"):
            list(walk(bytes(tmp_path / name)))


def test_entry_that_vanishes_while_listing_is_just_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write_tree(tmp_path / "t", {b"a": b"", b"b": b""})
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: [*real(folder), "ghost"])
    assert [path for path, _ in rows(tmp_path / "t")] == [b"a", b"b"]


def test_look_is_at_the_entry_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert entry_at(bytes(tmp_path / "link")).kind == Kind.SYMLINK
    assert entry_at(bytes(tmp_path)).kind == Kind.DIRECTORY
    with pytest.raises(SourceError, match="gone can't be read: No such file"):
        entry_at(bytes(tmp_path / "gone"))


def make_deep(root: Path, names: list[bytes], data: bytes) -> None:
    """A file below these folders, each made from within the one above."""
    root.mkdir()
    folder = os.open(root, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open(b"file", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    os.write(file, data)
    os.close(file)
    os.symlink(b"file", b"link", dir_fd=folder)
    os.mkdir(b"void", dir_fd=folder)
    os.close(folder)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """1,200 levels, some of 255 bytes: far beyond what one system call takes."""
    names = [b"n%d" % k if k % 20 else b"%03d" % (k // 20) + b"x" * 252 for k in range(1200)]
    make_deep(tmp_path / "deep", names, b"at the bottom")
    yield tmp_path / "deep", names
    # a plain remove doesn't get there either
    while os.path.isdir(tmp_path / "deep"):
        top = tmp_path / "deep"
        for _ in range(10):
            entries = [entry for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)]
            if not entries or entries[0].name == "void":
                break
            top = Path(entries[0].path)
        os.rename(top, tmp_path / "bottom")
        shutil.rmtree(tmp_path / "deep", ignore_errors=True)
        if top == tmp_path / "deep":
            shutil.rmtree(tmp_path / "bottom")
        else:
            os.rename(tmp_path / "bottom", tmp_path / "deep")


def test_paths_longer_than_the_systems_limit(tmp_path: Path, deep: tuple[Path, list[bytes]]) -> None:
    root, names = deep
    path = b"\0".join(names)
    assert len(path) > 15_000
    found = list(walk(bytes(root)))
    assert [entry.path for entry in found] == [path + b"\0" + n for n in (b"file", b"link", b"void")]
    assert [entry.kind for entry in found] == [Kind.FILE, Kind.SYMLINK, Kind.DIRECTORY]
    built, layout = scene.build(bytes(root), tmp_path)
    assert built.payload_cid == root_cid(bytes(root))
    assert len(layout) == 1 + len(names) + 3
    met: list[CarEntry] = []
    report = verify_car(tmp_path / built.file_name, receiver=EachEntry(met.append))
    assert report.findings == ()
    assert met[-1].path == b"/".join(names) + b"/void"


def test_at_path_reaches_what_one_call_cannot(deep: tuple[Path, list[bytes]]) -> None:
    root, names = deep
    path = b"/".join([bytes(root), *names, b"file"])
    with pytest.raises(OSError, match="File name too long"):
        os.stat(path)
    assert paths.at_path(path, lambda p, at: os.stat(p, dir_fd=at)).st_size == 13
    relative = os.path.relpath(path)
    assert paths.at_path(relative, lambda p, at: os.stat(p, dir_fd=at)).st_size == 13
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(FileNotFoundError):
        paths.at_path(path + b"-none", lambda p, at: os.stat(p, dir_fd=at))
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_name_that_is_too_long_by_itself_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        paths.at_path(bytes(tmp_path) + b"/" + b"x" * 256, lambda p, at: os.stat(p, dir_fd=at))
    with pytest.raises(OSError, match="File name too long"):
        paths.at_path(b"x" * 5000, lambda p, at: os.stat(p, dir_fd=at))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"a\0b", "a/b"),
        (b"new\nline", "new\\nline"),
        (b"\xff", "\\xff"),
        ("\N{SNOWMAN}".encode(), "\N{SNOWMAN}"),
        (b"\x1b[31m", "\\x1b[31m"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}".encode(), "\\u202e"),
        (b'it\'s "q"', 'it\'s "q"'),
    ],
)
def test_display_shows_one_line_of_printable_text(path: bytes, shown: str) -> None:
    assert paths.display(path) == shown


@pytest.mark.parametrize("path", [b"a\0b", b"\xff\0x", b"new\nline", b"\xc3\x28"])
def test_typed_path_is_the_stored_one(path: bytes) -> None:
    assert paths.from_display(os.fsdecode(path.replace(b"\0", b"/"))) == path
    assert paths.from_display("/" + os.fsdecode(path.replace(b"\0", b"/")) + "/") == path


@pytest.mark.slow
def test_folder_of_100000_files_is_walked_built_and_verified(tmp_path: Path) -> None:
    """Under the real profile: a HAMT of several levels."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(100_000):
        (tree / f"file number {number}").write_bytes(b"%d" % number)
    built, layout = scene.build(bytes(tree), tmp_path)
    report = verify_car(tmp_path / built.file_name)
    assert report.findings == ()
    assert (report.files, report.blocks) == (100_000, len(layout))
    content = {b"file number %d" % k: oracle.raw(b"%d" % k) for k in range(100_000)}
    assert built.payload_cid == oracle.folder(content, oracle.Sizes(1 << 20, 1024)).cid


def test_columns_are_those_of_the_entries_in_batches_of_any_size(tmp_path: Path) -> None:
    for k in range(25):
        folder = tmp_path / f"{k % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"{k}").write_bytes(b"x" * k)
    (tmp_path / "1" / "link").symlink_to("nowhere")
    (tmp_path / "2" / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    source = PosixSource(os.fsencode(tmp_path))
    wanted = [entry for batch in source.entries() for entry in batch]
    assert len(wanted) == 28  # 25 files, a link, an empty folder, a pipe
    for size in (1, 2, 7, 28, 100):
        batches = list(source.listed(size=size))
        assert [entry for batch in batches for entry in batch] == wanted
        assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)


def test_folders_listed_ahead_come_as_they_would_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some: oracle.Content = {b"%d" % k: b"x" for k in range(3)}
    scene.write_tree(tmp_path, {b"a": {b"deep": {b"er": some}, b"z": {}}, b"gone": some, b"own": some})
    scene.write_tree(
        tmp_path, {b"shut": some, b"shut too": {b"in": some}, b"sick": some, b"y": {b"last": some}}
    )
    status = os.stat(tmp_path / "own")
    own = {(status.st_dev, status.st_ino): "Ptolemy's own state"}
    real, list_folder = walk_module.open_beneath, walk_module.list_folder

    def take(seen: list[tuple[bytes, int]], path: bytes, time: int) -> None:
        seen.append((path, time))

    def list_one(descriptor: int, prefix: bytes) -> Any:
        if prefix == b"sick\0":
            raise OSError(errno.EIO, "Input/output error")
        return list_folder(descriptor, prefix)

    def open_beneath(top: int, path: bytes, flags: int) -> int:
        if path == b"gone":
            raise FileNotFoundError(errno.ENOENT, "gone")
        if path.startswith(b"shut"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(top, path, flags)

    monkeypatch.setattr(walk_module, "open_beneath", open_beneath)
    monkeypatch.setattr(walk_module, "list_folder", list_one)
    found = []
    for worth in (10**9, 0):
        monkeypatch.setattr(walk_module, "_WORTH_A_THREAD", worth)
        seen: list[tuple[bytes, int]] = []
        note = partial(take, seen)
        batches = walk_batches(bytes(tmp_path), own=own, folder=note, size=2)
        found.append(([entry for batch in batches for entry in batch], seen))
    assert found[0] == found[1]
    noted = [b"", b"a", b"a\0deep", b"a\0deep\0er", b"a\0z", b"sick", b"y", b"y\0last"]
    assert [path for path, _ in found[0][1]] == noted
    assert {entry.path: entry.reason for entry in found[0][0] if entry.reason} == {
        b"own": "Ptolemy's own state",
        b"shut": "can't be listed: Permission denied",
        b"shut too": "can't be listed: Permission denied",
        b"sick": "can't be listed: Input/output error",
    }
    walking = walk_batches(bytes(tmp_path), size=1)
    next(walking)
    walking.close()
    assert "list ahead" not in {thread.name for thread in threading.enumerate()}
