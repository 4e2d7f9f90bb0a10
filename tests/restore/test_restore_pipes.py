"""What isn't a file in a file's place: pipes that the shell opened are read, all else is refused, nothing hangs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ptolemy_core.car.root import root_cid
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.dag.stream import stream_cid
from ptolemy_core.reader import SeekableCar, inspect_car, open_car, read_entries, verify_car
from tests.cli.commands import command, error_of
from tests.reader.encoder import car, sample, write
from tests.stages.conftest import Scene

from .trees import read_tree

OTHERS = ["pipe", "socket", "folder", "device"]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """What isn't a file, by kind."""
    os.mkfifo(tmp_path / "pipe.car")
    (tmp_path / "folder.car").mkdir()
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind("socket.car")
    finally:
        os.chdir(here)
    names = {kind: str(tmp_path / f"{kind}.car") for kind in OTHERS}
    return names | {"device": "/dev/zero"}


def run(*arguments: str, given: bytes = b"", code: int = 0) -> "subprocess.CompletedProcess[bytes]":
    """A command as a process with its standard input; it ends by itself."""
    done = subprocess.run(
        [sys.executable, *command(*arguments)],
        input=given,
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("kind", OTHERS)
def test_no_reader_waits_for_what_is_not_a_file(places: dict[str, str], kind: str) -> None:
    path = places[kind]
    said = {
        "pipe": "a named pipe",
        "device": "a character device",
        "socket": "a socket",
        "folder": "Is a directory",
    }[kind]
    for read in (verify_car, inspect_car, SeekableCar, lambda p: list(read_entries(p))):
        with pytest.raises(OSError, match=said):
            read(path)
    with pytest.raises(OSError, match=said), open_car(path):
        pass


@pytest.mark.parametrize("kind", OTHERS)
def test_no_command_waits_for_what_is_not_a_file(places: dict[str, str], kind: str, tmp_path: Path) -> None:
    path = places[kind]
    for arguments in (
        ("extract", path, "--to", tmp_path / "to"),
        ("extract", path, "--list"),
        ("commp", path),
    ):
        said = error_of(*arguments)
        assert ("Is a directory" if kind == "folder" else "not a file") in said
        assert path in said
    if kind != "folder":
        assert path in error_of("cid", path)
    if kind == "pipe":
        assert "redirect standard input" in error_of("commp", path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_verify_names_what_is_in_a_cars_place(stage: Scene, places: dict[str, str], kind: str) -> None:
    (row,) = stage.run({b"a": b"content"})
    path = stage.staging / row.file_name
    path.unlink()
    os.symlink(places[kind], path)
    ((problem),) = stage.problems()
    assert row.file_name in problem
    assert "can't be read: " in problem


@pytest.mark.parametrize("how", ["-", "/dev/stdin", "/dev/fd/0"])
def test_extract_reads_a_pipe(tmp_path: Path, how: str) -> None:
    data = car(sample())
    assert b"folder/inner" in run("extract", how, "--list", given=data).stdout
    run("extract", how, "--to", str(tmp_path / "to"), given=data)
    assert (tmp_path / "to/folder/inner").read_bytes() == b"twenty bytes of file"
    assert sorted(read_tree(tmp_path / "to")) == [b"big", b"empty", b"folder", b"link", b"many", b"same"]  # type: ignore[type-var]


def test_extract_reads_a_pipe_with_files_beside_it(tmp_path: Path) -> None:
    blocks = car(sample())
    path = write(tmp_path / "a.car", blocks)
    run("extract", "-", str(path), "--to", str(tmp_path / "to"), given=blocks)
    assert b"is given twice" in run("extract", "-", "-", "--list", code=1).stderr
    assert b"standard input" in run("extract", "-", "--list", given=b"no CAR", code=1).stderr


@pytest.mark.parametrize("how", ["-", "/dev/stdin"])
def test_cid_and_commp_read_a_pipe(tmp_path: Path, how: str) -> None:
    data = bytes(range(256)) * 9000
    path = write(tmp_path / "f", data)
    assert run("cid", how, given=data).stdout == run("cid", str(path)).stdout
    named = run("commp", str(path)).stdout.splitlines()[1:]
    assert run("commp", how, given=data).stdout.splitlines()[1:] == named
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, *command("cid", "-")], stdin=file, capture_output=True, timeout=60
        )
    assert done.stdout == run("cid", str(path)).stdout


def test_closed_standard_input_is_said(tmp_path: Path) -> None:
    shell = f"{sys.executable} -c 'from ptolemy_dagster.cli import main; main()' commp - <&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"can't be read" in done.stderr


SMALL = Profile(chunk=8, width=3, hamt_threshold=400)


@pytest.mark.parametrize(
    "size", [0, 1, 7, 8, 9, 23, 24, 25, 48, 71, 72, 73, 80, 216, 217, 224, 648, 649, 5000]
)
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_streams_cid_is_that_of_the_file(tmp_path: Path, size: int, step: int) -> None:
    data = bytes(n * n % 251 for n in range(size))
    parts: list[bytes] = [data[at : at + step] for at in range(0, size, step)]

    def read(limit: int) -> bytes:
        if not parts:
            return b""
        part = parts.pop(0)
        if len(part) > limit:
            parts.insert(0, part[limit:])
        return part[:limit]

    path = write(tmp_path / "f", data)
    assert stream_cid(read, SMALL) == (root_cid(os.fsencode(path), SMALL), size)


@pytest.mark.slow
def test_a_streams_cid_under_the_real_profile(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1025 << 20)  # a lone leaf under a second node
    with path.open("rb", buffering=0) as file:
        assert stream_cid(file.read)[0] == root_cid(os.fsencode(path), UNIXFS_V1_2025)
    assert cid.to_text(stream_cid(lambda size: b"")[0]).startswith("bafk")
