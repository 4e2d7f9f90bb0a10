"""CARs marked as delivered: by any of their names, with their files removed only when whole, and back."""

import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import delivery, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.errors import BusyError, DeliveryError
from ptolemy_core.project import parse_project
from ptolemy_core.stages import delete_source
from ptolemy_core.stages.release import release, undo

from .conftest import PROFILE, Scene

FILES = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(8)}

both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def built(stage: Scene) -> Scene:
    assert len(stage.run(FILES)) == 2
    return stage


@both
def test_a_car_answers_to_all_its_names(built: Scene) -> None:
    first, second = built.cars()
    for text in (
        cid.to_text(second.payload_cid),
        cid.to_text(second.piece_cid_v1),
        cid.to_text(second.piece_cid_v2),
        second.file_name,
        f"/anywhere/{second.file_name}",
        "p/1",
        "p/000001",
        "p|000001",
    ):
        assert delivery.named(built.catalog, text) == [second]
    assert delivery.named(built.catalog, "p/0", "p") == [first]


@both
@pytest.mark.parametrize(
    "text", ["p/2", "q/0", "p/", "", "bafkqaaa", "x.car", "\udcff", "\udcff/1", "a\0b", "p/-1"]
)
def test_what_names_no_car_is_refused(built: Scene, text: str) -> None:
    with pytest.raises(DeliveryError, match="no built CAR matches"):
        delivery.named(built.catalog, text)
    with pytest.raises(DeliveryError, match="no built CAR of project 'other'"):
        delivery.named(built.catalog, "p/1", "other")


@both
def test_mark_keeps_its_time_and_takes_new_notes(built: Scene) -> None:
    built.verify()
    (one,) = release(built.catalog, built.cars()[:1], note="https://provider/deal/7")
    assert (one.done, one.warning) == ("marked as delivered", None)
    assert (one.car.delivered_to, one.car.delivered_at is not None) == ("https://provider/deal/7", True)
    (again,) = release(built.catalog, [one.car])
    assert again.car == one.car
    assert again.done == "was marked as delivered already"
    (noted,) = release(built.catalog, [one.car], note="elsewhere")
    assert (noted.car.delivered_at, noted.car.delivered_to) == (one.car.delivered_at, "elsewhere")
    (back,) = undo(built.catalog, [noted.car])
    assert (back.car.delivered_at, back.car.delivered_to, back.warning) == (None, None, None)
    assert undo(built.catalog, [back.car])[0].done == "wasn't marked"


@pytest.mark.parametrize("note", ["\udcff", "a\0b"])
def test_note_that_is_no_text_is_refused(built: Scene, note: str) -> None:
    with pytest.raises(DeliveryError, match="the note must be text"):
        release(built.catalog, built.cars(), note=note)
    assert [row.delivered_at for row in built.cars()] == [None, None]


def test_removed_file_is_away_and_no_finding(built: Scene) -> None:
    assert built.problems() == []
    (one,) = release(built.catalog, built.cars()[:1], remove=True)
    assert (one.done, one.warning) == ("marked as delivered, file removed", None)
    assert built.in_staging() == [built.cars()[1].file_name]
    verdicts = built.verify()
    assert [(verdict.ok, verdict.away) for verdict in verdicts] == [(True, True), (True, False)]
    assert built.blitz() == built.cars()  # nothing is built again
    assert len(built.in_staging()) == 1
    (again,) = release(built.catalog, built.cars()[:1], remove=True)
    assert again.done == "was marked as delivered already, its file was gone already"


def test_delivered_car_that_is_still_there_is_verified(built: Scene) -> None:
    release(built.catalog, built.cars())
    assert not any(verdict.away for verdict in built.verify())
    os.truncate(built.staging / built.cars()[0].file_name, 10)
    assert built.problems()


def test_car_gone_without_a_mark_is_a_finding_that_says_what_to_do(built: Scene) -> None:
    (built.staging / built.cars()[1].file_name).unlink()
    (problem,) = built.problems()
    assert (
        "can't be read: No such file or directory; if it was delivered, mark it: ptolemy release p/1"
        in problem
    )


@pytest.mark.parametrize("broken", ["shorter", "longer", "link", "folder"])
def test_file_that_is_not_the_whole_car_is_not_removed(built: Scene, broken: str) -> None:
    row = built.cars()[1]
    path = built.staging / row.file_name
    kept = path.with_name("kept")
    if broken in ("shorter", "longer"):
        os.truncate(path, row.car_size + (1 if broken == "longer" else -1))
    else:
        path.rename(kept)
        path.symlink_to(kept) if broken == "link" else path.mkdir()
    with pytest.raises(DeliveryError, match="it is incomplete, so nothing was marked or removed"):
        release(built.catalog, built.cars(), remove=True)
    assert os.path.lexists(path)
    assert [row.delivered_at for row in built.cars()] == [None, None]
    assert len(built.in_staging()) >= 2


def test_unverified_car_is_warned_of(built: Scene) -> None:
    (one,) = release(built.catalog, built.cars()[:1])
    assert one.warning == "it was never verified: its sources can't be deleted later; ptolemy verify p"


def test_file_that_is_another_projects_car_too_stays(built: Scene) -> None:
    other = parse_project(built.project.model_dump() | {"name": "q"})
    projects.create(built.catalog, other)
    twin = Scene(built.catalog, other)
    twin.scan()
    twin.plan()
    assert [row.file_name for row in twin.blitz()] == [row.file_name for row in built.cars()]
    (one,) = release(built.catalog, built.cars()[:1], remove=True)
    assert one.done == "marked as delivered, file kept: it is also CAR q/0, which isn't delivered"
    assert len(built.in_staging()) == 2
    both = delivery.named(built.catalog, one.car.file_name)
    assert [row.project for row in both] == ["p", "q"]
    assert [one.done for one in release(built.catalog, both, remove=True)] == [
        "was marked as delivered already, file removed",
        "marked as delivered, its file was gone already",
    ]


def test_undo_of_a_car_that_is_gone_says_so(built: Scene) -> None:
    (one,) = release(built.catalog, built.cars()[:1], remove=True)
    (back,) = undo(built.catalog, [one.car])
    assert back.warning == "its file isn't in staging_dir: it counts as missing now"
    with delete_source.lock(built.catalog, "p"), pytest.raises(BusyError, match="are being deleted"):
        undo(built.catalog, [one.car])


@both
def test_verified_follows_the_file(built: Scene) -> None:
    """Set when it passes, gone when it fails or is built again."""
    assert [row.verified_at for row in built.cars()] == [None, None]
    built.verify(number=1)
    assert [row.verified_at is not None for row in built.cars()] == [False, True]
    first = built.cars()[1].verified_at
    built.verify()
    assert (built.cars()[1].verified_at or 0) > (first or 0)
    path = built.staging / built.cars()[1].file_name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert built.problems()
    assert [row.verified_at is not None for row in built.cars()] == [True, False]
    path.write_bytes(data)
    assert built.problems() == []
    path.unlink()
    built.verify()
    assert built.cars()[1].verified_at is not None  # gone is not wrong
    built.build(1, rebuild=True)
    assert built.cars()[1].verified_at is None


def test_a_crash_between_mark_and_removal_leaves_no_unmarked_loss(
    built: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    real = os.unlink

    def killed(path: Any, *arguments: Any, **more: Any) -> None:
        if str(path).endswith(".car"):
            raise Killed
        real(path, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", killed)
        with pytest.raises(Killed):
            release(built.catalog, built.cars()[:1], remove=True)
    first: CarRow = built.cars()[0]
    assert first.delivered_at is not None
    assert first.file_name in built.in_staging()
    assert release(built.catalog, [first], remove=True)[0].done.endswith("file removed")
