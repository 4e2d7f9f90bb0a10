"""The staging folder: missing, closed or full, it is named with a remedy, and nothing stays behind."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ptolemy_core.car import BuiltCar
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.errors import StagingError
from ptolemy_core.layout import Layout, compute_layout
from ptolemy_core.source import Inputs, mounts
from ptolemy_core.staging import output
from ptolemy_core.staging.build import build_car

from . import nobody, scene

CONTENT = {b"a": b"x" * 3000, b"b": b"y" * 10}


def prepared(tmp_path: Path) -> tuple[Layout, Inputs]:
    path = scene.write_tree(tmp_path / "tree", CONTENT)
    items, source = scene.whole(path)
    return compute_layout(items, scene.SMALL), source


def build(tmp_path: Path, staging: Path) -> BuiltCar:
    layout, source = prepared(tmp_path)
    return build_car(layout, source, str(staging), ".p.part", BuildOptions(unit=1016))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="gone"):
        build(tmp_path, tmp_path / "gone")


def test_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StagingError, match="file"):
        build(tmp_path, tmp_path / "file")


def test_folder_that_may_not_be_written_is_named() -> None:
    with nobody.open_folder() as folder:
        layout, source = prepared(folder)
        staging = folder / "closed"
        staging.mkdir(mode=0o555)

        def work() -> str:
            with pytest.raises(StagingError) as caught:
                build_car(layout, source, str(staging), ".p.part")
            return str(caught.value)

        message = nobody.unprivileged(work)
        assert f"written in {staging} (Permission denied): " in message
        assert "writable" in message


def test_too_little_free_space_shows_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 30, 1 << 30, 4096))
    staging = tmp_path / "staging"
    staging.mkdir()
    with pytest.raises(StagingError, match="4096 bytes free.*move or delete finished CARs, or free space"):
        build(tmp_path, staging)
    assert list(staging.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_write_that_fails_is_an_error_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()

    def fail(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(StagingError) as caught:
        build(tmp_path, staging)
    assert str(staging) in str(caught.value)
    assert "then run blitz again" in str(caught.value)
    assert ("is full" in str(caught.value)) == (code != errno.EIO)
    assert list(staging.iterdir()) == []


def test_file_system_without_preallocation_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    built = build(tmp_path, tmp_path)
    expected = scene.oracle.car(scene.oracle.dag(CONTENT, scene.sizes(scene.SMALL)))
    assert (tmp_path / built.file_name).read_bytes() == expected


def test_memory_is_reserved_for_a_car_but_not_allocated_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"30 1 {os.major(device)}:{os.minor(device)} / /m rw - tmpfs tmpfs rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", mountinfo)
    before = output.free_space(str(tmp_path), ".other.car.part")
    with output.partial_file(str(tmp_path / ".one.car.part"), 8 << 20):
        (attempt,) = tmp_path.glob(".one*")
        assert attempt.stat().st_size == 8 << 20
        assert attempt.stat().st_blocks == 0
        reserved = output.free_space(str(tmp_path), ".other.car.part").reserved
        assert reserved - before.reserved == 8 << 20


def test_rename_that_fails_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()

    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "no rename today")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StagingError, match="no rename today"):
        build(tmp_path, staging)
    assert list(staging.iterdir()) == []


FULL_DISK = """
import json, shutil, sys
from pathlib import Path
from tests.car import scene
from ptolemy_core.staging.build import build_car
from ptolemy_core.errors import StagingError
from ptolemy_core.layout import compute_layout

tree, disk = sys.argv[1:]
shutil.disk_usage = lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40)
items, source = scene.whole(tree.encode())
try:
    build_car(compute_layout(items, scene.SMALL), source, disk, ".p.part")
except StagingError as error:
    print(json.dumps([str(error), [entry.name for entry in Path(disk).iterdir()]]))
"""


def test_disk_that_is_really_full_is_named_and_left_clean(tmp_path: Path) -> None:
    """A file system of 64 KiB, mounted where only this test's process sees it."""
    tree = scene.write_tree(tmp_path / "tree", {b"a": os.urandom(100_000)})
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no user mount a file system of their own")
    script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$4" "$1"'
    command = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        script,
        "sh",
        str(disk),
        sys.executable,
        FULL_DISK,
        os.fsdecode(tree),
    ]
    folders = [str(Path(__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    message, left = json.loads(run.stdout)
    assert message.startswith(f"{disk} is full (No space left on device)")
    assert left == []


def test_file_size_limit_is_an_error_of_the_folder() -> None:
    with nobody.open_folder() as folder:
        layout, source = prepared(folder)
        staging = folder / "staging"
        staging.mkdir()

        def work() -> str:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            with pytest.raises(StagingError) as caught:
                build_car(layout, source, str(staging), ".p.part")
            return str(caught.value)

        staging.chmod(0o777)
        message = in_child(work)
        assert f"{staging} (File too large)" in message
        assert "then run blitz again" in message
        assert list(staging.iterdir()) == []


def in_child(work: "nobody.Callable[[], str]") -> str:
    """Always in a process of its own, whose limits end with it."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(send, work().encode())
        finally:
            os._exit(0)
    os.close(send)
    with open(receive) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text
