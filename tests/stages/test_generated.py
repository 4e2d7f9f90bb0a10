"""A generated project: the same CARs as a staged one, without their files; whatever takes a CAR takes them."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import cars, containers, projects, removal, shards, stored_cars
from ptolemy_core.errors import (
    BusyError,
    DeliveryError,
    ProjectExistsError,
    ReceiptError,
    SettingsError,
    SourceChangedError,
    StagingError,
)
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.stages import remove, reservation
from ptolemy_core.stages.blitz import pending
from ptolemy_core.stages.change import change
from ptolemy_core.stages.delete_source import Options, delete_source
from ptolemy_core.stages.release import release
from ptolemy_core.staging import attempts
from ptolemy_core.staging.area import OUTLINES, part_name
from ptolemy_core.status import free_space
from ptolemy_core.tree import Kind
from tests.car.test_build_bytes import TREE
from tests.dag import oracle

from .conftest import PROFILE, Crash, Scene

CONTENT: oracle.Content = {
    **TREE,
    b"large": bytes(range(256)) * 40,  # shards in several CARs
    b"many": {b"f%03d" % k: b"x" * k for k in range(80)},  # a HAMT folder
}


@pytest.fixture
def generated(make: Any) -> Scene:
    stage: Scene = make("generated", car_storage="generated")
    return stage


def outlines(stage: Scene) -> list[str]:
    return sorted(os.listdir(stage.staging / OUTLINES / stage.name))


def a_file(stage: Scene) -> Path:
    """A file of some bytes in the first CAR, and in no other."""
    found = shards.built(stage.catalog, containers.rows(stage.catalog, stage.name, 0)[0].id)
    path = next(one.path for one in found if one.kind == Kind.FILE and one.length and one.number is None)
    return stage.target / os.fsdecode(path.replace(b"\0", b"/"))


def rewritten(path: Path) -> None:
    """Other bytes, behind the size and time of before."""
    old = path.stat()
    path.write_bytes(bytes(old.st_size))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def whole(stage: Scene, number: int) -> bytes:
    """A CAR's bytes, however it is stored."""
    with stored_cars.by_number(stage.catalog, stage.name, number).open() as car:
        return car.read(0, car.size)


def test_a_generated_project_has_the_cars_of_a_staged_one(make: Any, generated: Scene) -> None:
    staged: Scene = make("staged")
    expected = staged.run(CONTENT)
    found = generated.run(CONTENT)
    assert len(found) > 3
    assert [row.car_storage for row in expected] == ["staged"] * len(expected)
    assert [row.car_storage for row in found] == ["generated"] * len(found)

    def receipt(row: cars.CarRow) -> tuple[object, ...]:
        return row.file_name, row.payload_cid, row.piece_cid_v2, row.car_size, row.piece_size, row.sha256

    assert list(map(receipt, found)) == list(map(receipt, expected))
    for row in found:
        assert whole(generated, row.number) == (staged.staging / row.file_name).read_bytes()
    assert generated.in_staging() == [OUTLINES]
    assert outlines(generated) == sorted(row.file_name.replace(".car", ".outline") for row in found)
    (one, other) = stored_cars.by_piece(generated.catalog, found[0].piece_cid_v1)
    assert (one.project, other.project) == ("staged", "generated")  # a file is read sooner


def test_the_setting_holds_for_cars_that_are_not_built_yet(stage: Scene) -> None:
    first = len(stage.run({b"a": b"one"}))
    projects.change(stage.catalog, stage.name, {"car_storage": "generated"})
    rows = stage.run({b"b": b"two"})
    assert [row.car_storage for row in rows] == ["staged"] * first + ["generated"]
    projects.change(stage.catalog, stage.name, {"car_storage": "staged"})
    assert [row.car_storage for row in stage.cars()] == ["staged"] * first + ["generated"]
    assert stage.problems() == []
    os.unlink(stage.staging / rows[0].file_name)
    row, fresh = stage.build(0, rebuild=True)
    assert fresh
    assert row.car_storage == "staged"
    assert (stage.staging / row.file_name).exists()


def test_a_blitz_builds_nothing_twice_and_rebuilds_a_lost_outline(generated: Scene) -> None:
    rows = generated.run(CONTENT)
    assert pending(generated.catalog, generated.name) == []
    path = Path(stored_cars.by_number(generated.catalog, generated.name, 1).outline_path)
    before = path.read_bytes()
    assert not generated.build(1, rebuild=True)[1]
    path.unlink()
    assert free_space.missing(generated.catalog, generated.project) == [rows[1]]
    assert generated.build(1, rebuild=True)[1]
    assert path.read_bytes() == before
    assert free_space.missing(generated.catalog, generated.project) == []
    assert generated.problems() == []


def test_no_outline_is_rebuilt_from_another_source(generated: Scene) -> None:
    generated.run(CONTENT)
    stored = stored_cars.by_number(generated.catalog, generated.name, 0)
    os.unlink(stored.outline_path)
    rewritten(a_file(generated))
    with pytest.raises(SourceChangedError, match="CAR generated/0 can't be rebuilt"):
        generated.build(0, rebuild=True)
    assert os.path.basename(stored.outline_path) not in outlines(generated)


@pytest.mark.parametrize("moment", ["fsync", "replace", "write_receipt", "fill"])
def test_a_killed_build_is_resumed_and_leaves_nothing(generated: Scene, moment: str) -> None:
    generated.put(CONTENT)
    generated.scan()
    generated.plan()
    (generated.staging / OUTLINES / "generated").mkdir(parents=True)
    child = os.fork()
    if not child:
        generated.catalog.engine.dispose(close=False)

        def die(*arguments: Any, **more: Any) -> Any:
            os.kill(os.getpid(), signal.SIGKILL)

        if moment == "write_receipt":
            cars.write_receipt = die
        elif moment == "fill":
            from ptolemy_core.car.outlined import OutlineOutput

            OutlineOutput.write = die  # type: ignore[method-assign]
        else:
            setattr(os, moment, die)
        try:
            generated.build(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(outlines(generated)) == 1
    assert generated.cars() == []
    row, fresh = generated.build(0)
    assert fresh
    assert outlines(generated) == [row.file_name.replace(".car", ".outline")]
    assert generated.verify(number=0)[0].ok


def test_what_a_killed_build_left_is_removed_before_the_next_blitz(generated: Scene) -> None:
    generated.run(CONTENT)
    left = attempts.own_path(str(generated.staging / OUTLINES / "generated" / part_name("generated", 7)))
    Path(left).write_bytes(b"")
    reservation.drop_parts(generated.catalog, generated.project)
    assert os.path.basename(left) not in outlines(generated)


def test_of_two_builds_the_one_that_lost_its_lock_gives_up(
    generated: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated.put(CONTENT)
    generated.scan()
    generated.plan()
    monkeypatch.setattr(reservation, "WAIT", 0.0)
    part = str(generated.staging / OUTLINES / "generated" / part_name("generated", 0))
    from ptolemy_core.car.outlined import OutlineOutput

    take = OutlineOutput.take_digests

    def taken_over(self: OutlineOutput, digests: Any) -> None:
        take(self, digests)
        with monkeypatch.context() as patch:
            patch.setattr(attempts, "SILENT", -1.0)  # nobody heard of the first one for a while
            attempts.remove_earlier(part)

    monkeypatch.setattr(OutlineOutput, "take_digests", taken_over)
    with pytest.raises(BusyError, match="took over from this one"):
        generated.build(0)
    assert outlines(generated) == []
    assert generated.cars() == []


def test_a_serial_project_never_waits_for_space(make: Any) -> None:
    stage: Scene = make(load_type="serial", staging_budget=8, car_storage="generated")
    rows = stage.run({b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(12)})
    assert len(rows) == 3
    assert free_space.still_waiting(stage.catalog, stage.name, PROFILE) is None
    assert stage.problems() == []


def test_a_file_that_changed_before_the_build_fails_it_and_leaves_nothing(generated: Scene) -> None:
    generated.put(CONTENT)
    generated.scan()
    generated.plan()
    path = generated.target / "large"
    path.write_bytes(b"changed")
    number = next(
        row.number
        for row in containers.rows(generated.catalog, generated.name)
        if b"large" in containers.content(generated.catalog, row.id).items.paths
    )
    with pytest.raises(SourceChangedError, match="target/large changed since the scan"):
        generated.build(number)
    assert outlines(generated) == []


def test_verify_reads_generated_cars_and_names_the_file_that_changed(generated: Scene) -> None:
    generated.run(CONTENT)
    assert all(verdict.ok for verdict in generated.verify())
    assert all(row.verified_at for row in generated.cars())
    assert all(verdict.known for verdict in generated.verify(again=False))
    path = a_file(generated)
    rewritten(path)
    (wrong,) = [verdict for verdict in generated.verify() if not verdict.ok]
    assert f"{path} changed since the scan" in wrong.problems[0]


def test_verify_against_the_source_names_all_files_that_changed(generated: Scene) -> None:
    generated.run(CONTENT)
    compared = generated.verify(source=True)
    assert all(verdict.ok for verdict in compared)
    assert sum(verdict.compared for verdict in compared) == sum(row.items for row in generated.cars())
    for name in ("f010", "f030", "f070"):
        os.utime(generated.target / "many" / name, ns=(5, 5))
    problems = [p for verdict in generated.verify(source=True) for p in verdict.problems]
    assert [name for name in ("f010", "f030", "f070") if any(name in p for p in problems)] == [
        "f010",
        "f030",
        "f070",
    ]
    assert len(problems) == 3


def test_a_lost_outline_fails_verification_and_says_what_to_do(generated: Scene) -> None:
    generated.run(CONTENT)
    os.unlink(stored_cars.by_number(generated.catalog, generated.name, 1).outline_path)
    (problem,) = generated.problems()
    assert "outline" in problem
    assert "ptolemy rebuild generated/1" in problem


def test_a_restore_reads_generated_cars(generated: Scene, tmp_path: Path) -> None:
    generated.run(CONTENT)
    report = ProjectRestore(generated.catalog, generated.name, profile=PROFILE).write(
        os.fsencode(tmp_path / "back")
    )
    assert (report.problems, report.warnings) == ([], [])
    for path in sorted(generated.target.rglob("*")):
        back = tmp_path / "back" / path.relative_to(generated.target)
        assert os.path.lexists(back)
        if path.is_file() and not path.is_symlink():
            assert back.read_bytes() == path.read_bytes()


def test_a_restore_gives_back_all_but_what_changed(generated: Scene, tmp_path: Path) -> None:
    generated.run(CONTENT)
    os.utime(generated.target / "many" / "f030", ns=(5, 5))
    report = ProjectRestore(generated.catalog, generated.name, profile=PROFILE).write(
        os.fsencode(tmp_path / "back")
    )
    assert len(report.problems) == 1, report.problems[:6]
    (problem,) = report.problems
    assert "f030" in str(problem)
    assert "changed since the scan" in str(problem)
    assert len(list((tmp_path / "back" / "many").iterdir())) == 79


def test_a_restore_without_an_outline_says_how_to_get_it(generated: Scene) -> None:
    generated.run(CONTENT)
    os.unlink(stored_cars.by_number(generated.catalog, generated.name, 0).outline_path)
    (missing,) = ProjectRestore(generated.catalog, generated.name, profile=PROFILE).needs.missing
    assert "ptolemy rebuild generated/0" in missing.reason


def test_sources_of_generated_cars_are_never_deleted(generated: Scene, tmp_path: Path) -> None:
    generated.run(CONTENT)
    assert generated.problems() == []
    release(generated.catalog, generated.cars())
    options = Options(really=True, trust_marks=True)
    result = delete_source(
        generated.catalog,
        generated.name,
        (),
        options,
        journal_dir=str(tmp_path / "journal"),
        profile=PROFILE,
    )
    assert result.files == 0
    assert all("is generated" in reason for reason in result.kept)
    assert a_file(generated).exists()


def test_a_release_looks_at_generated_cars_and_may_remove_their_outlines(generated: Scene) -> None:
    generated.run(CONTENT)
    assert generated.problems() == []
    first = generated.cars()[0]
    (done,) = release(generated.catalog, [first], remove=True)
    assert done.done == "marked as delivered, outline removed"
    assert first.file_name.replace(".car", ".outline") not in outlines(generated)
    assert generated.verify(number=0)[0].away


def test_a_release_that_removes_refuses_what_cannot_be_generated(generated: Scene) -> None:
    generated.run(CONTENT)
    path = a_file(generated)
    os.utime(path, ns=(5, 5))
    with pytest.raises(DeliveryError, match=f"CAR generated/0 can't be generated.*{path.name}"):
        release(generated.catalog, [generated.cars()[0]], remove=True)
    assert generated.cars()[0].delivered_at is None


def test_a_new_plan_while_a_car_is_outlined_gives_it_no_receipt(
    generated: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated.put(CONTENT)
    generated.scan()
    generated.plan()
    write = cars.write_receipt

    def later(catalog: Any, container: int, *more: Any) -> None:
        write(catalog, container + 1000, *more)

    monkeypatch.setattr(cars, "write_receipt", later)
    with pytest.raises(ReceiptError, match="the plan changed"):
        generated.build(0)
    assert generated.cars() == []


def test_a_staging_folder_moves_with_its_outlines(generated: Scene, tmp_path: Path) -> None:
    rows = generated.run(CONTENT)
    new = tmp_path / "new"
    new.mkdir()
    move = {"staging_dir": str(new)}
    with pytest.raises(SettingsError, match=rf"{len(rows)} CARs of project .* not in .*outlines/generated/"):
        change(generated.catalog, generated.name, move)
    os.rename(generated.staging / OUTLINES, new / OUTLINES)
    change(generated.catalog, generated.name, move)
    assert generated.problems() == []


def test_a_renamed_project_keeps_its_outlines(generated: Scene) -> None:
    generated.run(CONTENT)
    names = outlines(generated)
    renamed = Scene(generated.catalog, remove.rename(generated.catalog, generated.name, "renamed"))
    assert outlines(renamed) == names
    assert renamed.problems() == []


def test_a_project_is_removed_with_its_outlines(generated: Scene, make: Any) -> None:
    generated.run(CONTENT)
    assert len(remove.look(generated.catalog, generated.name).files) == len(outlines(generated))
    remove.delete(generated.catalog, generated.name, files=True)
    assert outlines(generated) == []


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_rename_that_is_killed_halfway_loses_no_outline(
    generated: Scene, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    generated.run({b"f": b"x" * 900})
    real_rename = removal.rename

    def rename(*arguments: Any) -> None:
        if step == "after":
            real_rename(*arguments)
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(removal, "rename", rename)
        remove.rename(generated.catalog, generated.name, "renamed")
    there = "renamed" if step == "after" else generated.name
    assert Scene(generated.catalog, projects.get(generated.catalog, there)).problems() == []
    again = Scene(generated.catalog, remove.rename(generated.catalog, there, "again"))
    assert again.problems() == []
    assert again.plan().new == 0
    folder = generated.staging / OUTLINES / "again"
    assert folder.is_dir()
    assert not folder.is_symlink()


def test_a_rename_to_a_name_that_is_taken_leaves_no_second_name_of_outlines(
    generated: Scene, make: Any
) -> None:
    generated.run({b"f": b"x" * 900})
    make("taken", car_storage="generated")
    with pytest.raises(ProjectExistsError):
        remove.rename(generated.catalog, generated.name, "taken")
    assert os.listdir(generated.staging / OUTLINES) == [generated.name]
    assert generated.problems() == []


def test_a_rename_over_another_projects_outlines_changes_nothing(generated: Scene) -> None:
    generated.run({b"f": b"x" * 900})
    (generated.staging / "outlines" / "renamed" / "kept").mkdir(parents=True)
    with pytest.raises(StagingError, match="outlines/renamed .*: check .*, and move away what is there"):
        remove.rename(generated.catalog, generated.name, "renamed")
    assert generated.problems() == []
