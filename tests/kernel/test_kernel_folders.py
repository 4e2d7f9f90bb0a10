"""Folders as the compiled kernel lists them, against plain Python."""

import errno
import os
import stat
from pathlib import Path

import pytest

from ptolemy_core.kernel import folders


def listed(folder: Path, prefix: bytes = b"") -> folders.Listing:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = folders.list_folder(descriptor, prefix)
        assert found == folders._list_in_python(descriptor, prefix)
        assert found == folders.list_folder(descriptor, prefix), "a second time"
    finally:
        os.close(descriptor)
    return found


def test_names_of_any_bytes_in_byte_order(tmp_path: Path) -> None:
    names = [
        b"\xff\xfe",
        b"a",
        b"a b",
        b"a\nb",
        b'"quoted"',
        b".hidden",
        b"...",
        b"B",
        "é".encode(),
        b"a" * 255,
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found = listed(tmp_path, b"up\0")
    assert found.paths == [b"up\0" + name for name in sorted(names)]
    assert found.sizes == [len(name) for name in sorted(names)]
    assert all(stat.S_ISREG(mode) for mode in found.modes)
    assert found.mtimes == [
        os.stat(os.fsencode(tmp_path) + b"/" + name).st_mtime_ns for name in sorted(names)
    ]


def test_kinds_are_those_of_the_entries_and_not_of_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    kinds = [stat.S_IFMT(mode) for mode in listed(tmp_path).modes]
    assert kinds == [stat.S_IFDIR, stat.S_IFLNK, stat.S_IFLNK, stat.S_IFIFO]


def test_times_before_1970_and_after_2038(tmp_path: Path) -> None:
    for name, when in (("early", -1_500_000_000), ("late", 5_000_000_000_123_456_789)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(when, when))
    assert listed(tmp_path).mtimes == [-1_500_000_000, 5_000_000_000_123_456_789]


@pytest.mark.parametrize("count", [0, 1, 1024, 1025, 3000])
def test_folders_of_any_size(tmp_path: Path, count: int) -> None:
    names = [b"%060d" % k for k in range(count)]
    for name in names:
        (tmp_path / name.decode()).touch()
    assert listed(tmp_path).paths == names


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOTDIR)) as error:
            folders.list_folder(descriptor, b"")
        assert error.value.errno == errno.ENOTDIR
    finally:
        os.close(descriptor)


def test_entries_of_all_kinds_among_so_many_that_threads_share_them(tmp_path: Path) -> None:
    for k in range(1500):
        name = tmp_path / f"{k:04d}"
        if k % 5 == 0:
            name.symlink_to("nowhere")
        elif k % 7 == 0:
            os.mkfifo(name)
        elif k % 11 == 0:
            name.mkdir()
        else:
            name.write_bytes(b"x" * (k % 13))
            os.utime(name, ns=(0, k))
    found = listed(tmp_path, b"up\0")
    assert found.paths == [b"up\0%04d" % k for k in range(1500)]
    assert found.sizes[1492] == 1492 % 13
