"""Projects that move, get another name, and are removed; and what their runs said."""

import os
import shutil

import dagster as dg
import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import Catalog, deletions, projects
from ptolemy_core.catalog.schema import metadata
from ptolemy_dagster.assets.cars import built_cars
from ptolemy_dagster.partitions import car_partitions, project_partitions
from tests.cli.commands import error_of, printed, ptolemy
from tests.cli.test_schemas import is_as_published, quick
from tests.pipeline.backend import Backend, in_process

__all__ = ["quick"]


def rows_of_projects(catalog: Catalog) -> dict[str, int]:
    """How many rows each table has that belongs to projects."""
    with catalog.read() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
            if table.name not in ("handover", "worker")
        }


def partitions(delta: Backend) -> tuple[list[str], list[str]]:
    with delta.instance() as instance:
        return (
            list(instance.get_dynamic_partitions(project_partitions.name or "")),
            list(instance.get_dynamic_partitions(car_partitions.name or "")),
        )


def test_a_project_is_removed_with_every_row_and_partition_and_keeps_its_cars(quick: Backend) -> None:
    ptolemy("run", "delta")
    ptolemy("release", "delta/0")
    staged = set(quick.staging().glob("*.car"))
    dry = is_as_published("delete", printed("delete", "delta"))
    assert printed("delete", "delta", "--dry-run") == dry
    said = ptolemy("delete", "delta", "--dry-run").stderr
    assert "project delta would be removed: 1 CAR in the catalog" in said
    assert f"kept in {quick.staging()} (--cars deletes them too)" in said
    assert "dry run: nothing was removed; --yes removes it" in said
    assert (dry["removed"], dry["cars"], dry["undelivered"], dry["files"]) == (False, 1, 0, [])
    assert printed("status", "delta")
    removed = ptolemy("delete", "delta", "--yes").stderr
    assert "project delta removed: 1 CAR in the catalog" in removed
    assert "is called" not in removed
    assert "dry run" not in removed
    assert not any(rows_of_projects(quick.catalog).values())
    assert partitions(quick) == ([], [])
    assert set(quick.staging().glob("*.car")) == staged
    assert (quick.root / "data" / "a.txt").exists()
    quick.define()
    assert printed("run", "delta")["cars"][0]["file_name"] in {path.name for path in staged}


def test_its_cars_go_too_on_request_but_not_those_of_another_project(quick: Backend) -> None:
    ptolemy("run", "delta")
    staging = quick.staging()
    quick.define("other", target=quick.folder("more", {"x": b"x"}), staging_dir=str(staging))
    ptolemy("run", "other")
    others = {row["file_name"] for row in printed("cars", "other")}
    (staging / "note.txt").write_text("mine")
    removed = printed("delete", "delta", "--cars", "--yes")
    assert len(removed["files"]) == 2  # its CAR, and that of its root
    left = {path.name for path in staging.iterdir()}
    assert others <= left
    assert "note.txt" in left
    assert not left & set(removed["files"])
    assert not (staging / "manifests" / "delta.manifest.parquet").exists()
    assert (staging / "manifests" / "other.manifest.parquet").exists()


def test_a_project_whose_sources_were_deleted_is_removed_only_by_force(quick: Backend) -> None:
    ptolemy("run", "delta")
    ptolemy("release", "delta/0")
    ptolemy("delete-source", "delta", "--delete")
    assert deletions.count(quick.catalog, "delta") == 2
    assert "were deleted after delivery" in error_of("delete", "delta", "--yes")
    ptolemy("delete", "delta", "--yes", "--force")
    assert projects.names(quick.catalog) == []


def test_a_renamed_project_goes_on_with_its_cars_and_partitions(quick: Backend) -> None:
    ptolemy("run", "delta")
    (car,) = printed("cars", "delta")
    ptolemy("rename", "delta", "gamma")
    (renamed,) = printed("cars", "gamma")
    assert (renamed["project"], renamed["piece_cid"], renamed["verified_at"]) == (
        "gamma",
        car["piece_cid"],
        car["verified_at"],
    )
    assert partitions(quick) == (["gamma"], ["gamma|000000"])
    with quick.instance() as instance:
        assert "gamma" in instance.get_materialized_partitions(built_cars.key)
    assert printed("find", "a.txt")[0]["project"] == "gamma"
    (quick.root / "data" / "new").write_bytes(b"new")
    assert len(printed("run", "gamma")["cars"]) == 2
    assert "no project 'delta'" in error_of("status", "delta")


@pytest.mark.parametrize(
    ("new", "code", "message"),
    [("other", 1, "there is a project 'other' already"), ("a b", 2, "name must be"), ("", 2, "NEW is empty")],
)
def test_a_name_that_is_taken_or_no_name_is_refused(
    delta: Backend, new: str, code: int, message: str
) -> None:
    delta.define("other", target=delta.folder("more", {"x": b"x"}))
    assert message in error_of("rename", "delta", new, code=code)
    assert projects.names(delta.catalog) == ["delta", "other"]


def test_target_dir_moves_to_the_same_data_alone(quick: Backend) -> None:
    ptolemy("run", "delta")
    old, new = quick.root / "data", quick.root / "moved"
    shutil.copytree(old, new)
    os.utime(new / "a.txt", (1, 1))
    (new / "b" / "c.bin").unlink()
    said = error_of("set", "delta", "--target-dir", new)
    assert "1 entry is missing there and 1 entry has another size or modification time" in said
    assert printed("set", "delta")["target_dir"] == str(old)
    shutil.rmtree(new)
    os.rename(old, new)
    assert printed("set", "delta", "--target-dir", new)["target_dir"] == str(new)
    ptolemy("scan", "delta")
    assert printed("changes", "delta")["changes"] == []
    assert "isn't a folder" in error_of("set", "delta", "--target-dir", quick.root / "nowhere", code=2)


def test_a_loss_is_accepted_on_request(quick: Backend) -> None:
    ptolemy("run", "delta")
    new = quick.folder("new", {"a.txt": b"other"})
    error_of("set", "delta", "--target-dir", new)
    ptolemy("set", "delta", "--target-dir", new, "--accept-loss")
    assert printed("set", "delta")["target_dir"] == str(new)


def test_staging_dir_moves_where_the_cars_are(quick: Backend) -> None:
    ptolemy("run", "delta")
    new = quick.root / "elsewhere"
    assert "2 CARs of project 'delta' are not in" in error_of("set", "delta", "--staging-dir", new, code=2)
    new.rmdir()
    os.rename(quick.staging(), new)
    ptolemy("set", "delta", "--staging-dir", new)
    assert "1 CAR" in ptolemy("verify", "delta", "--again").stderr
    assert "is inside target_dir" in error_of(
        "set", "delta", "--staging-dir", quick.root / "data" / "x", code=2
    )


def test_delivered_cars_need_not_be_in_a_new_staging_dir(quick: Backend) -> None:
    ptolemy("run", "delta")
    ptolemy("release", "delta/0", "--remove")
    for path in quick.staging().glob("*.car"):
        path.unlink()
    ptolemy("set", "delta", "--staging-dir", quick.root / "elsewhere")


def test_staging_budget_changes_within_its_limits(quick: Backend) -> None:
    quick.define("slow", target=quick.folder("more", {"x": b"x"}), load_type="serial")
    assert printed("set", "slow", "--staging-budget", "5")["staging_budget"] == 5
    assert "staging_budget 1 GiB is too small" in error_of("set", "slow", "--staging-budget", "1", code=2)
    assert "needs load_type serial" in error_of("set", "delta", "--staging-budget", "5", code=2)


def test_folders_outside_the_roots_are_refused(quick: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_ROOTS", str(quick.root / "data") + ":" + str(quick.root / "staging"))
    other = quick.folder("other", {})
    assert "is outside the folders" in error_of("set", "delta", "--target-dir", other, code=2)


def test_logs_tell_of_the_last_run_and_why_it_failed(quick: Backend) -> None:
    assert "no run of project 'delta' yet" in error_of("logs", "delta")
    ptolemy("scan", "delta")
    ptolemy("containerize", "delta")
    (quick.root / "data" / "a.txt").write_bytes(b"changed")
    with quick.instance() as instance, pytest.raises(dg.Failure):
        in_process("blitz", "delta", instance)
    said = ptolemy("logs", "delta").stdout
    assert "a.txt changed since the scan" in said
    assert "Loaded input" not in said
    assert "Loaded input" in ptolemy("logs", "delta", "--debug").stdout
    lines = is_as_published("logs", printed("logs", "delta"))
    assert {line["level"] for line in lines} >= {"info", "error"}
    listed = ptolemy("logs", "delta", "--runs").stdout
    assert [job in listed for job in ("scan", "containerize", "blitz")] == [True] * 3
    assert "has no run 'ffff'" in error_of("logs", "delta", "--run", "ffff")


def test_the_cars_of_a_root_are_listed_and_released_like_others(quick: Backend) -> None:
    ptolemy("run", "delta")
    root = printed("root", "delta")
    path = quick.staging() / root["file_name"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    assert "isn't the CAR that was built" in error_of("release", "delta/root")
    path.write_bytes(whole)
    (done,) = is_as_published("release", printed("release", "delta/root", "--note", "cold store"))
    assert (done["done"], done["delivered_to"]) == ("marked as delivered", "cold store")
    assert "delivered cold store" in ptolemy("cars", "delta").stdout
    assert "file removed" in ptolemy("release", root["piece_cid_v2"], "--remove").stdout
    assert not path.exists()
    assert "gone already" in ptolemy("release", "delta/root", "--remove").stdout
    assert "missing: neither" not in ptolemy("cars", "delta").stdout
    ptolemy("release", "delta/root", "--undo")
    assert "missing: neither" in ptolemy("cars", "delta").stdout
    assert "was never marked as delivered" in error_of("release", "delta/root", "--remove")
    assert "no built CAR" in error_of("release", "gamma/root")
    both = printed("release", "delta/0", root["file_name"])
    assert len(both) == 2
    assert both[1]["warning"] == "its file wasn't in staging_dir any more"


def test_status_is_shown_again_and_again_until_it_is_interrupted(
    delta: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("ptolemy_dagster.cli.status.time", SimpleNamespace(sleep=sleep))
    shown = ptolemy("status", "--watch", code=130).stdout
    assert shown.count("defined") == 3
    assert slept == [30.0] * 3  # no terminal
    assert "can't be combined" in ptolemy("status", "--watch", "--json", code=2).stderr


def test_status_of_one_project_names_its_folders_and_counts_verified_and_delivered_cars(
    quick: Backend,
) -> None:
    ptolemy("run", "delta")
    ptolemy("release", "delta/0")
    (shown,) = is_as_published("status", printed("status", "delta"))
    assert (shown["cars"]["verified"], shown["cars"]["delivered"]) == (1, 1)
    assert shown["staging_dir"] == str(quick.staging())
    assert f"staging_dir is {quick.staging()}" in ptolemy("status", "delta").stderr
