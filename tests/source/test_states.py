"""A file is read in one and the same state from the first byte to the last, or the build fails and names it."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.errors import SourceError
from ptolemy_core.kernel import files
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import beneath, mounts, posix
from ptolemy_core.staging.build import build_car
from tests.car import scene

LARGE = 96 << 20
TORN = "changed while it was read: run blitz again"


def patch(path: Path) -> None:
    """Other bytes in the middle of a file, with its mtime restored."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        file.write(b"sixteen bytes!!!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file of the same size and mtime in its place."""
    before = path.stat()
    other = path.with_name("other")
    other.touch()
    os.truncate(other, before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def change_mode(path: Path) -> None:
    path.chmod(0o600)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("change", [patch, replace], ids=lambda change: change.__name__)
def test_a_file_changed_in_the_middle_of_a_build_with_its_mtime_restored_fails_the_build(
    tmp_path: Path, staging: Path, change: Callable[[Path], None]
) -> None:
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, LARGE)
    _, inputs = scene.whole(bytes(big))
    steps: list[int] = []

    def change_once(step: int) -> None:
        steps.append(step)
        if len(steps) == 1:
            change(big)

    layout = compute_layout(inputs.items, UNIXFS_V1_2025)
    with pytest.raises(SourceError, match=f"{big}/ {TORN}"):
        build_car(layout, inputs, str(staging), ".p", BuildOptions(threads=1), progress=change_once)
    assert list(staging.iterdir()) == []


def test_two_shards_of_a_file_must_be_read_in_one_state(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    scene.write_tree(tree, {b"a": b"", b"split": b"x" * 40})
    items, inputs = scene.whole(bytes(tree))
    items, inputs = scene.with_shards(items, inputs, {b"split": [(0, 0, 20), (1, 20, 20)]})
    inputs.read_into(1, 0, [memoryview(bytearray(20))])
    inputs.read_into(1, 5, [memoryview(bytearray(10))])
    patch(tree / "split")
    with pytest.raises(SourceError, match=TORN) as caught:
        inputs.read_into(2, 0, [memoryview(bytearray(20))])
    assert (caught.value.item, caught.value.reason) == (2, "changed while it was read")


def test_a_file_changed_between_two_batches_of_small_files_is_left_to_the_read_that_names_it(
    tmp_path: Path,
) -> None:
    tree = tmp_path / "tree"
    scene.write_tree(tree, {b"d": {b"a": b"first", b"b": b"second"}})
    _, inputs = scene.whole(bytes(tree))
    buffer, rows, places = mmap.mmap(-1, 4096), np.array([0, 1]), np.array([0, 8])
    assert inputs.read_small(rows, buffer, places).tolist() == [True, True]
    change_mode(tree / "d" / "b")
    assert inputs.read_small(rows, buffer, places).tolist() == [True, False]
    with pytest.raises(SourceError, match=f"d/b {TORN}"):
        inputs.read_into(1, 0, [memoryview(bytearray(6))])


def test_a_change_during_one_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    _, inputs = scene.whole(bytes(path))
    read = posix.descriptors.read_at

    def change(*arguments: object) -> int:
        done = read(*arguments)  # type: ignore[arg-type]
        patch(path)
        return done

    monkeypatch.setattr(posix.descriptors, "read_at", change)
    with pytest.raises(SourceError, match=TORN):
        inputs.read_into(0, 0, [memoryview(bytearray(100))])


def test_a_chmod_between_scan_and_build_fails_nothing(tmp_path: Path, staging: Path) -> None:
    tree = tmp_path / "tree"
    scene.write_tree(tree, {b"a": b"first", b"big": b"x" * (3 << 20)})
    _, inputs = scene.whole(bytes(tree))
    for path in tree.iterdir():
        change_mode(path)
    built = build_car(compute_layout(inputs.items), inputs, str(staging), ".p")
    status = [(tree / name).stat() for name in ("a", "big")]
    assert [item.state for item in built.items] == [(one.st_ctime_ns, one.st_ino) for one in status]


def test_links_and_empty_folders_have_no_state(tmp_path: Path, staging: Path) -> None:
    tree = scene.write_tree(tmp_path / "tree", {b"e": {}, b"l": scene.oracle.Link(b"e"), b"z": b""})
    _, inputs = scene.whole(tree)
    built = build_car(compute_layout(inputs.items), inputs, str(staging), ".p")
    assert [item.state is None for item in built.items] == [True, True, False]


@pytest.mark.parametrize("by_steps", [False, True])
def test_the_batched_read_says_what_each_file_is(
    tmp_path: Path, by_steps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of one folder, of another, at the top, in no order; some that can't be read."""
    monkeypatch.setattr(files, "BY_STEPS", by_steps)
    scene.write_tree(
        tmp_path / "t",
        {
            b"d": {b"a": b"AAAA", b"b": b"BB", b"link": scene.oracle.Link(b"a")},
            b"e": {b"f": {b"c": b"CCC"}},
            b"top": b"TOP",
        },
    )
    os.mkfifo(tmp_path / "t" / "pipe")
    names = [b"d\0a", b"d\0b", b"d\0link", b"e\0f\0c", b"d\0none", b"d\0a", b"top", b"pipe", b"d", b"top\0x"]
    buffer = mmap.mmap(-1, 4096)
    places = np.arange(len(names)) * 8
    lengths = np.array([4, 1, 1, 3, 0, 2, 3, 0, 0, 0])
    with beneath.opened(bytes(tmp_path / "t")) as root:
        found = files.read_files(root, names, buffer, places, lengths)
    assert (found[:, files.DONE] >= 0).tolist() == [
        True, True, False, True, False, True, True, False, False, False
    ]  # fmt: skip
    assert [buffer[8 * k : 8 * k + 4] for k in (0, 1, 3, 5, 6)] == [
        b"AAAA", b"B\0\0\0", b"CCC\0", b"AA\0\0", b"TOP\0"
    ]  # fmt: skip
    status = (tmp_path / "t" / "e" / "f" / "c").stat()
    times = [status.st_mtime_ns, status.st_ctime_ns]
    assert found[3].tolist() == [3, 3, *times, status.st_ino, status.st_dev]


@pytest.mark.parametrize("column", [files.SIZE, files.MTIME, files.CTIME, files.INODE, None])
def test_a_status_from_before_that_is_no_longer_true_changes_nothing(
    tmp_path: Path, column: int | None
) -> None:
    """A read that knows the status of the scan finds what one finds that knows nothing."""
    scene.write_tree(tmp_path / "t", {b"d": {b"a": b"AAAA", b"b": b"BB"}, b"top": b"TOP"})
    names = [b"d\0a", b"d\0b", b"top"]
    places, lengths = np.arange(3) * 8, np.array([4, 2, 3])
    known, unknown = mmap.mmap(-1, 4096), mmap.mmap(-1, 4096)
    with beneath.opened(bytes(tmp_path / "t")) as root:
        found = files.read_files(root, names, unknown, places, lengths)
        seen = found[:, files.SIZE : files.INODE + 1].copy()
        if column is not None:
            seen[0, column - 1] += 1
            seen[2, column - 1] = 0
        again = files.read_files(root, names, known, places, lengths, seen)
    assert again.tolist() == found.tolist()
    assert known[:] == unknown[:]


def test_a_change_with_the_mtime_restored_between_the_scan_and_the_read_gives_the_new_state(
    tmp_path: Path,
) -> None:
    scene.write_tree(tmp_path / "t", {b"a": b"x" * 40, b"b": b"y" * 40})
    _, inputs = scene.whole(bytes(tmp_path / "t"))
    patch(tmp_path / "t" / "b")
    buffer, rows = mmap.mmap(-1, 4096), np.array([0, 1])
    assert inputs.read_small(rows, buffer, rows * 64).all()
    assert buffer[64:104] == (tmp_path / "t" / "b").read_bytes()
    status = [(tmp_path / "t" / name).stat() for name in ("a", "b")]
    assert inputs.states() == [(one.st_ctime_ns, one.st_ino) for one in status]
    patch(tmp_path / "t" / "a")
    assert inputs.read_small(rows, buffer, rows * 64).tolist() == [False, True]


def test_inode_numbers_count_only_where_they_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sshfs, rclone's mounts and others may give a file a new number when it is opened again."""
    path = tmp_path / "t" / "f"
    scene.write_tree(tmp_path / "t", {b"f": b"data"})
    device = path.stat().st_dev
    own = f"{os.major(device)}:{os.minor(device)}"
    listed = tmp_path / "mountinfo"
    for kind, inode in (("fuse.sshfs sshfs x", 0), ("ext4 /dev/sda x", path.stat().st_ino)):
        listed.write_text(f"21 1 0:1 / / rw - fuse x y\n22 1 {own} / {tmp_path} rw,shared:1 - {kind}\n")
        monkeypatch.setattr(mounts, "MOUNTS", listed)
        _, inputs = scene.whole(bytes(tmp_path / "t"))
        rows = np.array([0])
        inputs.read_small(rows, mmap.mmap(-1, 4096), rows)
        inputs.read_into(0, 0, [memoryview(bytearray(4))])
        assert inputs.states() == [(path.stat().st_ctime_ns, inode)]
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert mounts.keeps_inodes(device)
