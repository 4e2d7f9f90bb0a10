"""Zeros come back as holes, and the bytes are the same."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core.dag.profile import Profile
from ptolemy_core.restore.holes import BLOCK, data_runs
from tests.cli.commands import ptolemy
from tests.reader.encoder import car, directory, file, write
from tests.stages.conftest import Scene

from .test_restore_resume import kill_after
from .test_restore_same import restore
from .trees import extract

PROFILE = Profile(chunk=1 << 16, width=64, hamt_threshold=1000)
ZEROS = bytes(1 << 20)
CONTENTS = {
    b"data at the end": ZEROS + b"end",
    b"data in the middle": ZEROS[: 1 << 19] + b"x" * 5000 + ZEROS[: 1 << 19],
    b"one leaf": ZEROS[: 1 << 16],
    b"only zeros": ZEROS,
    b"small": bytes(10),
}


def holes(path: Path) -> int:
    """Bytes of a file that take no space."""
    status = path.stat()
    return status.st_size - 512 * status.st_blocks


def made(tmp_path: Path) -> Path:
    dag = directory({name: file(content, PROFILE) for name, content in CONTENTS.items()}, PROFILE)
    return write(tmp_path / "a.car", car(dag))


@pytest.mark.parametrize("sparse", [True, False])
def test_zeros_are_holes_unless_they_are_asked_for(tmp_path: Path, sparse: bool) -> None:
    path = made(tmp_path)
    for _ in range(2):  # the second time, compared with what is there
        report = extract([path], tmp_path / "to", sparse=sparse)
        assert report.problems == []
        for name, content in CONTENTS.items():
            restored = tmp_path / "to" / name.decode()
            assert restored.read_bytes() == content
            if name != b"small":
                assert (holes(restored) > len(content) - 20_000) == sparse
    assert report.kept == len(CONTENTS)


def test_a_part_with_other_bytes_where_zeros_belong_is_mended(tmp_path: Path) -> None:
    """A hole is left only where nothing was: what an earlier run wrote may be damaged."""
    path = made(tmp_path)
    to = tmp_path / "to"
    kill_after(1 << 18, path, to)
    (part,) = (to / ".ptolemy-restore").glob("part-*")
    with part.open("r+b") as damaged:
        damaged.seek(70_000)
        damaged.write(b"damage")
    assert extract([path], to).ok
    for name, content in CONTENTS.items():
        assert (to / name.decode()).read_bytes() == content


def test_the_command_has_an_option_for_it(tmp_path: Path) -> None:
    path = made(tmp_path)
    ptolemy("extract", path, "--to", tmp_path / "holes")
    ptolemy("extract", path, "--to", tmp_path / "full", "--no-sparse")
    assert holes(tmp_path / "holes/only zeros") > 0
    assert holes(tmp_path / "full/only zeros") <= 0


def test_restore_of_a_project_leaves_holes(make: Any, tmp_path: Path) -> None:
    stage: Scene = make()
    content = bytes(9000) + b"x" + bytes(9000)
    stage.run({b"zeros": content})
    for sparse in (True, False):
        to = tmp_path / str(sparse)
        assert restore(stage, to, sparse=sparse).ok
        assert (to / "zeros").read_bytes() == content
        assert (holes(to / "zeros") > 0) == sparse


@given(
    pieces=st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(1, 3 * BLOCK)), max_size=6),
    start=st.integers(0, 2 * BLOCK),
)
def test_runs_of_data_and_holes_are_all_there_is(pieces: list[tuple[bytes, int]], start: int) -> None:
    data = b"".join(byte * count for byte, count in pieces)
    out = bytearray(len(data))
    last = 0
    for first, behind in data_runs(memoryview(data), start):
        assert last <= first < behind
        out[first:behind] = data[first:behind]
        last = behind
    assert out == data
    if not any(data):
        assert list(data_runs(memoryview(data), start)) == []


def test_room_of_a_file_with_holes_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptolemy_core.restore.target import Target

    path = made(tmp_path)
    assert extract([path], tmp_path / "to").ok
    monkeypatch.setattr(Target, "free_bytes", lambda self: 0)
    assert extract([path], tmp_path / "to").kept == len(CONTENTS)
    assert os.listdir(tmp_path / "to")
