"""Two tries at one CAR: the later one shuts the earlier out, waits for one that is alive, and the bytes are right."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.errors import BusyError
from ptolemy_core.staging import attempts
from ptolemy_core.staging.output import partial_file

SIZE = 5000


def test_each_try_writes_a_file_of_its_own_and_leaves_none(tmp_path: Path) -> None:
    path = str(tmp_path / ".p-000001.car.part")
    assert attempts.own_path(path) != attempts.own_path(path)
    with partial_file(path, SIZE):
        (name,) = os.listdir(tmp_path)
        assert name.startswith(".p-000001.car.")
        assert name.endswith(f".{os.getpid()}.{name.split('.')[-2]}.part")
    assert os.listdir(tmp_path) == []


def test_files_of_dead_tries_are_removed_and_other_containers_are_kept(tmp_path: Path) -> None:
    for name in (".p-000001.car.part", ".p-000001.car.host.12.ab.part"):
        (tmp_path / name).write_bytes(bytes(999))
    others = {
        ".p-000002.car.host.12.ab.part",
        ".p-0000010.car.part",
        "p-000001.car.x.part",
        ".p-000001.car.x",
    }
    for name in others:
        (tmp_path / name).write_bytes(b"")
    with partial_file(str(tmp_path / ".p-000001.car.part"), SIZE) as own:
        own.publish("whole.car")
    assert set(os.listdir(tmp_path)) == others | {"whole.car"}


def test_a_try_that_is_alive_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / ".p-000001.car.part")
    with partial_file(path, SIZE) as first:
        with pytest.raises(BusyError, match="still being written"), partial_file(path, SIZE):
            pass
        first.publish("whole.car")
    assert os.listdir(tmp_path) == ["whole.car"]


@pytest.mark.parametrize("why", ["silent", "no locks"])
def test_an_earlier_try_that_was_taken_over_cannot_give_its_file_the_cars_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    path = str(tmp_path / ".p-000001.car.part")
    if why == "no locks":

        def refuse(*_: Any) -> None:
            raise OSError(95, "not supported")

        monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BusyError, match="took over"), partial_file(path, SIZE) as zombie:
        zombie.write(memoryview(b"half"), 0)
        if why == "silent":
            (name,) = os.listdir(tmp_path)
            before = os.stat(tmp_path).st_mtime - attempts.SILENT - 5
            os.utime(tmp_path / name, (before, before))
        with partial_file(path, SIZE) as later:
            later.write(memoryview(b"whole"), 0)
            zombie.write(memoryview(b"HALF"), 0)
            later.publish("whole.car")
        zombie.publish("whole.car")
    assert os.listdir(tmp_path) == ["whole.car"]
    assert (tmp_path / "whole.car").read_bytes() == b"whole" + bytes(SIZE - 5)
