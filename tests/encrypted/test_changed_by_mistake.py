"""What looks like a change of a file's bytes and is none: no CAR dies by it, and no file is planned twice."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import coverage, encrypted_cars, projects, stored_cars
from ptolemy_core.errors import SourceChangedError
from ptolemy_core.source.posix import PosixSource
from tests.encrypted.test_changed_unseen import car_of, dead, either, headers
from tests.encrypted.test_outlines import same_stamp
from tests.encrypted.test_stages import data, restored
from tests.stages.conftest import Crash, Scene

CONTENT = {b"f": data(900), b"g": data(20), b"large": data(6000)}


def misread(patch: pytest.MonkeyPatch, name: bytes, times: int) -> None:
    """Read a small file wrongly so many times, as memory or a cable at fault would."""
    real, left = PosixSource.read_many, times

    def read_many(self: PosixSource, names: Any, buffer: Any, offsets: Any, stamps: Any) -> Any:
        nonlocal left
        found = real(self, names, buffer, offsets, stamps)
        if left and name in names:
            left -= 1
            with memoryview(buffer) as raw, raw.cast("B") as view:
                view[int(offsets[names.index(name)])] ^= 1
        return found

    patch.setattr(PosixSource, "read_many", read_many)


@either
@pytest.mark.parametrize("source", [False, True])
def test_a_changed_mode_while_a_generated_car_is_verified_kills_it_not(
    make: Any, monkeypatch: pytest.MonkeyPatch, encryption: str, source: bool
) -> None:
    stage = make(car_storage="generated", encryption=encryption)
    stage.run(CONTENT)
    before = headers(stage)
    real = PosixSource._fill

    def fill(self: PosixSource, descriptor: int, *arguments: Any) -> int:
        os.fchmod(descriptor, os.fstat(descriptor).st_mode ^ 0o040)
        return real(self, descriptor, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PosixSource, "_fill", fill)
        problems = [problem for one in stage.verify(source=source) for problem in one.problems]
    assert any("changed while it was read" in problem for problem in problems)
    assert dead(stage) == []
    assert headers(stage) == before
    assert [one.problems for one in stage.verify(source=True) if not one.ok] == []
    assert stage.plan().new == 0


@either
@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_a_file_that_is_misread_once_is_not_another_version(
    make: Any, monkeypatch: pytest.MonkeyPatch, encryption: str, storage: str
) -> None:
    stage = make(car_storage=storage, encryption=encryption)
    stage.run(CONTENT)
    before, number = headers(stage), car_of(stage, b"g")
    row = stored_cars.by_number(stage.catalog, stage.name, number)
    os.unlink(row.outline_path if storage == "generated" else row.path)
    with monkeypatch.context() as patch:
        misread(patch, b"g", 1)
        stage.build(number, rebuild=True)
    assert dead(stage) == []
    assert headers(stage) == before
    assert stage.problems() == []


def finish(stage: Scene) -> None:
    """Run the stages as often as a user would who does what errors say."""
    for _ in range(3):
        stage.scan()
        stage.plan()
        try:
            stage.blitz()
        except SourceChangedError:
            continue
        if not stage.problems():
            return


@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("step", ["before", "after"])
@pytest.mark.parametrize("how", ["changed", "deleted", "unseen"])
def test_a_generated_car_whose_build_was_killed_around_its_naming_blocks_nothing_once_its_source_changed(
    make: Any, tmp_path: Path, step: str, how: str
) -> None:
    stage, content = make(car_storage="generated"), dict(CONTENT)
    stage.put(content)
    stage.scan()
    stage.plan()

    def crash(*_: Any) -> None:
        raise Crash

    where = (
        "ptolemy_core.car.outlined.OutlineOutput.publish"
        if step == "before"
        else f"{encrypted_cars.__name__}.set_named"
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(where, crash)
        stage.build(0)
    if how == "deleted":
        (stage.target / "g").unlink()
        del content[b"g"]
    else:
        content[b"g"] = data(20, seed=1)
        (same_stamp if how == "unseen" else Path.write_bytes)(stage.target / "g", content[b"g"])
    finish(stage)
    assert coverage.uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []
    assert restored(stage, tmp_path / "out") == content


def test_a_file_that_a_disk_at_fault_cant_read_says_nothing_of_its_car(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make(car_storage="generated", encryption="None")
    stage.run(CONTENT)
    number, real = car_of(stage, b"g"), PosixSource._open
    projects.change(stage.catalog, stage.name, {"exclude": ["g"]})

    def fails(self: PosixSource, path: bytes, flags: int) -> int:
        if path == b"g":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, path, flags)

    def scan_on_a_disk_at_fault() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(PosixSource, "_open", fails)
            stage.scan()

    scan_on_a_disk_at_fault()
    assert dead(stage) == []
    (stage.target / "g").write_bytes(b"other")
    stage.scan()
    assert dead(stage) == [number]
    scan_on_a_disk_at_fault()
    assert dead(stage) == [number], "nor that it lives again"
