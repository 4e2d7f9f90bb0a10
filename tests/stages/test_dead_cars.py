"""A generated CAR whose source changed is dead: a scan says so, and what is left of its files is planned anew."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import coverage, dead_cars, deals, find, projects, providers, stored_cars
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.schema import replaced_shard, shard
from ptolemy_core.errors import DeadCarError, OutlineError
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.stages.release import release
from ptolemy_core.staging.area import OUTLINES
from ptolemy_core.status import free_space
from ptolemy_core.status.state import project_state
from tests.dag import oracle

from .conftest import PROFILE, Scene

UNIT = PROFILE.size_unit
FILES: oracle.Content = {
    **{f"f{k:02}".encode(): bytes([k]) * UNIT for k in range(10)},
    b"large": bytes(range(250)) * (6 * UNIT // 250),
    b"link": oracle.Link(b"f00"),
}

both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def generated(make: Any) -> Scene:
    stage: Scene = make("generated", car_storage="generated")
    stage.run(FILES)
    assert len(stage.cars()) > 3
    return stage


def numbers(stage: Scene) -> list[int]:
    return [row.number for row in dead_cars.rows(stage.catalog, stage.name)]


def go_on(stage: Scene) -> None:
    """Plan and build what a scan found."""
    stage.plan()
    stage.blitz()
    assert coverage.uncovered(stage.catalog, stage.name) == []


def restored(stage: Scene, to: Path) -> None:
    """Restore all, and see that it is the target's content."""
    report = ProjectRestore(stage.catalog, stage.name, profile=PROFILE).write(os.fsencode(to))
    assert (report.problems, report.warnings) == ([], [])
    names = sorted(os.listdir(stage.target))
    assert sorted(os.listdir(to)) == names
    for name in names:
        assert (to / name).read_bytes() == (stage.target / name).read_bytes()


@both
def test_a_scan_names_the_cars_that_died_and_their_files_are_planned_anew(
    generated: Scene, tmp_path: Path
) -> None:
    before = generated.cars()
    (generated.target / "f01").write_bytes(b"changed")
    (generated.target / "f02").unlink()
    result = generated.scan()
    (died,) = result.dead
    assert died.number == 0
    reason = died.dead_reason or ""
    assert str(generated.target / "f01") in reason
    assert "and 1 other files" in reason
    state = project_state(generated.catalog, generated.name)
    assert state.unplanned
    assert state.dead == 1
    go_on(generated)
    rows = generated.cars()
    assert len(rows) > len(before)
    assert [row.piece_cid_v2 for row in rows[: len(before)]] == [row.piece_cid_v2 for row in before]
    assert numbers(generated) == [0]
    assert not project_state(generated.catalog, generated.name).unplanned
    assert [verdict.dead for verdict in generated.verify()] == [row.number == 0 for row in rows]
    assert generated.problems() == []
    restored(generated, tmp_path / "back")
    assert generated.scan().dead == []  # it is no news any more
    assert generated.plan().new == 0


def test_a_dead_car_is_refused_at_once_and_is_not_missing(generated: Scene) -> None:
    (generated.target / "f01").write_bytes(b"changed")
    generated.scan()
    stored = stored_cars.by_number(generated.catalog, generated.name, 0)
    with pytest.raises(DeadCarError, match=r"CAR generated/0 can't be read any more: .*f01 changed"):
        stored.open()
    os.unlink(stored.outline_path)
    assert free_space.missing(generated.catalog, generated.project) == []


def test_what_a_dead_piece_held_is_still_known(generated: Scene) -> None:
    held = generated.cars()[0].items
    (generated.target / "f01").write_bytes(b"changed")
    generated.scan()
    go_on(generated)
    with generated.catalog.read() as connection:

        def count(table: sa.Table) -> int:
            query = sa.select(sa.func.count()).where(table.c.container_id == generated.cars()[0].container_id)
            return int(connection.execute(query).scalar_one())

        assert count(shard) + count(replaced_shard) == held
        assert count(shard) == 1
    (found,) = find.find_path(generated.catalog, "f00", generated.name, profile=PROFILE)
    assert found.container is not None
    assert found.container > 0


def test_outlines_of_dead_cars_are_removed_once_their_files_are_planned_anew(generated: Scene) -> None:
    names = {row.number: outline_name(row.file_name) for row in generated.cars()}
    (generated.target / "f01").write_bytes(b"changed")
    generated.scan()
    folder = generated.staging / OUTLINES / generated.name
    assert names[0] in os.listdir(folder)
    go_on(generated)
    left = os.listdir(folder)
    assert names[0] not in left
    assert names[1] in left
    assert generated.problems() == []


def test_projects_over_the_same_content_in_one_staging_folder_have_outlines_of_their_own(
    make: Any, generated: Scene
) -> None:
    other: Scene = make("other", car_storage="generated", staging_dir=str(generated.staging))
    other.run(FILES)  # other times than those of the first project's files
    assert [row.file_name for row in other.cars()] == [row.file_name for row in generated.cars()]
    assert (generated.problems(), other.problems()) == ([], [])
    (other.target / "f01").write_bytes(b"changed")
    other.scan()
    go_on(other)
    assert (generated.problems(), other.problems()) == ([], [])


def test_a_split_file_keeps_its_shards_in_cars_that_live(make: Any, tmp_path: Path) -> None:
    stage: Scene = make("generated", car_storage="generated")
    stage.run({b"a": bytes(UNIT), b"large": os.urandom(9 * UNIT)})
    cids = {row.path: row.cid for row in stage.files()}
    (stage.target / "a").write_bytes(b"changed")
    result = stage.scan()
    assert [row.number for row in result.dead] == [0]
    planned = stage.plan()
    assert sum(row.data_bytes for row in planned.containers if not row.built) < 9 * UNIT
    stage.blitz()
    assert coverage.uncovered(stage.catalog, stage.name) == []
    assert {row.path: row.cid for row in stage.files()}[b"large"] == cids[b"large"]
    assert stage.problems() == []
    restored(stage, tmp_path / "back")


def test_a_car_lives_again_when_its_file_is_back_as_it_was(generated: Scene) -> None:
    path = generated.target / "f01"
    path.rename(generated.target.parent / "away")
    generated.scan()
    assert numbers(generated) == [0]
    (generated.target.parent / "away").rename(path)
    assert generated.scan().returned == 1
    assert numbers(generated) == []
    assert generated.plan().new == 0
    assert generated.problems() == []


def test_a_file_that_is_only_excluded_kills_no_car(generated: Scene) -> None:
    projects.change(generated.catalog, generated.name, {"exclude": ("f01",)})
    assert generated.scan().gone == 1
    assert numbers(generated) == []
    assert generated.problems() == []


def test_a_link_that_is_gone_kills_no_car(generated: Scene) -> None:
    (generated.target / "link").unlink()
    assert generated.scan().gone == 1
    assert numbers(generated) == []
    assert generated.problems() == []


def test_a_delivered_car_that_died_is_not_planned_anew(generated: Scene) -> None:
    assert generated.problems() == []
    release(generated.catalog, [generated.cars()[0]])
    (generated.target / "f01").unlink()
    generated.scan()
    assert numbers(generated) == [0]
    assert generated.plan().new == 0


def test_a_staged_car_never_dies(stage: Scene) -> None:
    stage.run(FILES)
    (stage.target / "f01").unlink()
    assert stage.scan().dead == []
    assert numbers(stage) == []


def test_containers_that_are_not_built_yet_are_planned_anew_with_the_rest(make: Any) -> None:
    stage: Scene = make("generated", car_storage="generated")
    stage.put({b"a": bytes(UNIT), b"large": os.urandom(9 * UNIT)})
    stage.scan()
    stage.plan()
    stage.build(0)
    (stage.target / "a").write_bytes(b"changed")
    stage.scan()
    go_on(stage)
    assert stage.problems() == []


def test_a_dry_run_counts_what_dead_cars_leave(generated: Scene) -> None:
    (generated.target / "f01").unlink()
    generated.scan()
    preview = generated.plan(dry_run=True)
    assert preview.new > 0
    assert generated.plan().new == preview.new


def test_no_outline_of_a_dead_car_is_rebuilt(generated: Scene) -> None:
    (generated.target / "f01").unlink()
    generated.scan()
    os.unlink(stored_cars.by_number(generated.catalog, generated.name, 0).outline_path)
    with pytest.raises((DeadCarError, OutlineError), match="f01"):
        generated.build(0, rebuild=True)


def test_deals_of_a_dead_car_say_so(generated: Scene) -> None:
    row = generated.cars()[0]
    known: dict[str, Any] = {one.name: None for one in fields(DealRow)}
    known |= {"engine": "curio", "transfer": "pull", "attempt": 1, "tries": 0, "renews": "", "message": ""}
    known |= {"created_at": 1.0, "changed_at": 1.0, "next_at": 1.0, "forgiven": False, "live": True}
    known |= {"project": generated.name, "container_id": row.container_id, "piece_cid_v2": row.piece_cid_v2}
    known |= {"payload_cid": row.payload_cid, "car_size": row.car_size, "piece_size": row.piece_size}
    known |= {"id": "1", "provider": "anna", "state": "proposed"}
    providers.add(generated.catalog, ProviderRow("anna", "curio", "mainnet", "f01001"))
    deals.add(generated.catalog, [DealRow(**known)])
    (generated.target / "f01").write_bytes(b"changed")
    generated.scan()
    (deal,) = deals.select(generated.catalog, project=generated.name)
    assert "can't be generated any more" in deal.message
    assert "f01" in deals.history(generated.catalog, "1")[-1].message
    assert (deal.state, deal.live) == ("proposed", True)
