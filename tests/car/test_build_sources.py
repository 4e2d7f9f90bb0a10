"""Sources that aren't what the scan saw: an error that names the file and what to do, and nothing left behind."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.root import root_cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import Layout, compute_layout
from ptolemy_core.source import Inputs
from ptolemy_core.staging.build import build_car

from . import nobody, scene

AGAIN = "scan again, then containerize and blitz"


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def prepare(tmp_path: Path) -> tuple[Path, Layout, Inputs]:
    """A scanned tree whose files are then changed."""
    tree = tmp_path / "tree"
    scene.write_tree(
        tree, {b"a": b"first", b"odd\nname": b"x" * 100, b"empty": {}, b"link": scene.oracle.Link(b"a")}
    )
    items, source = scene.whole(bytes(tree))
    return tree, compute_layout(items, scene.SMALL), source


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 50)


def touch(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def rewrite_same_size(path: Path) -> None:
    path.write_bytes(b"y" * 100)
    touch(path)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def become_link(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


CHANGES = [
    (grow, "its size was 100 bytes, now 104"),
    (shrink, "its size was 100 bytes, now 50"),
    (touch, "its modification time changed"),
    (rewrite_same_size, "its modification time changed"),
    (Path.unlink, "is missing since the scan"),
    (become_folder, "it is no longer a regular file"),
    (become_pipe, "it is no longer a regular file"),
    (become_socket, "it is no longer a regular file"),
    (become_link, "it is no longer a regular file"),
]


@pytest.mark.timeout(60)  # opening a pipe must not wait for its writer
@pytest.mark.parametrize(("change", "reason"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_changed_file_is_named_with_reason_and_remedy(
    tmp_path: Path, staging: Path, change: Callable[[Path], None], reason: str
) -> None:
    tree, layout, source = prepare(tmp_path)
    change(tree / "odd\nname")
    with pytest.raises(SourceError) as caught:
        build_car(layout, source, str(staging), ".p.part", BuildOptions(unit=127))
    message = str(caught.value)
    assert f"{tree}/odd\\nname" in message
    assert reason in message
    assert AGAIN in message
    assert list(staging.iterdir()) == []


def retarget(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("b")


def link_becomes_file(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").write_bytes(b"a")


def folder_vanishes(tree: Path) -> None:
    (tree / "empty").rmdir()


def folder_becomes_file(tree: Path) -> None:
    (tree / "empty").rmdir()
    (tree / "empty").write_bytes(b"")


def folder_becomes_link(tree: Path) -> None:
    (tree / "empty").rmdir()
    (tree / "empty").symlink_to("/")


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        (retarget, "link", "the link has another target"),
        (link_becomes_file, "link", "it is no longer a link"),
        (folder_vanishes, "empty", "is missing since the scan"),
        (folder_becomes_file, "empty", "it is no longer a folder"),
        (folder_becomes_link, "empty", "it is no longer a folder"),
    ],
)
def test_changed_link_or_empty_folder_is_named(
    tmp_path: Path, staging: Path, change: Callable[[Path], None], name: str, reason: str
) -> None:
    tree, layout, source = prepare(tmp_path)
    change(tree)
    with pytest.raises(SourceError, match=re.escape(f"{tree}/{name} ")) as caught:
        build_car(layout, source, str(staging), ".p.part")
    assert reason in str(caught.value)
    assert AGAIN in str(caught.value)
    assert list(staging.iterdir()) == []


LARGE = 96 << 20


@pytest.mark.parametrize("change", [grow, shrink, touch], ids=lambda change: change.__name__)
def test_file_that_changes_while_it_is_read_is_noticed(
    tmp_path: Path, staging: Path, change: Callable[[Path], None]
) -> None:
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, LARGE)
    items, source = scene.whole(bytes(big))
    done: list[int] = []

    def change_once(step: int) -> None:
        done.append(step)
        if len(done) == 1:
            change(big)

    with pytest.raises(SourceError, match="big"):
        build_car(
            compute_layout(items, UNIXFS_V1_2025),
            source,
            str(staging),
            ".p",
            BuildOptions(threads=1),
            progress=change_once,
        )
    assert sum(done) < LARGE
    assert list(staging.iterdir()) == []


def test_unreadable_file_is_named_with_a_remedy() -> None:
    with nobody.open_folder() as folder:
        tree, layout, source = prepare(folder)
        staging = folder / "staging"
        staging.mkdir(mode=0o777)
        staging.chmod(0o777)
        (tree / "a").chmod(0)

        def work() -> str:
            with pytest.raises(SourceError) as caught:
                build_car(layout, source, str(staging), ".p")
            return str(caught.value)

        message = nobody.unprivileged(work)
        assert f"{tree}/a can't be read (Permission denied): make it readable" in message
        assert list(staging.iterdir()) == []


def test_error_of_a_progress_callback_stops_the_build_and_leaves_nothing(
    tmp_path: Path, staging: Path
) -> None:
    _, layout, source = prepare(tmp_path)

    class Stop(BaseException):
        pass

    def stop(step: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        build_car(layout, source, str(staging), ".p", BuildOptions(unit=127), progress=stop)
    assert list(staging.iterdir()) == []


def test_root_cid_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none can't be read: No such file"):
        root_cid(bytes(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe.*a named pipe; it has no CID"):
        root_cid(bytes(tmp_path))
    with pytest.raises(SourceError, match="pipe"):
        root_cid(bytes(tmp_path / "pipe"))


def test_root_cid_of_a_link_is_the_links_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert root_cid(bytes(tmp_path / "link")) == scene.oracle.symlink(b"nowhere").cid
