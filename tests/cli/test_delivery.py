"""Commands of delivery: serial projects that wait, release, delete-source, deleted."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ptolemy_core.catalog import cars
from ptolemy_core.stages import blitz as blitz_stage
from ptolemy_core.stages.verify import verify as verify_stage
from tests.cli.commands import error_of, printed, process, ptolemy
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files


def built(backend: Backend, count: int = 3) -> list[Path]:
    """Project delta with `count` CARs, built and verified; their files."""
    backend.define(target=backend.folder(files=tiny_files(count)))
    plan_small(backend.catalog, "delta", 3100)
    for number in range(count):
        blitz_stage.build_container(backend.catalog, "delta", number)
    assert all(verdict.ok for verdict in verify_stage(backend.catalog, "delta"))
    return [backend.staging() / row.file_name for row in cars.rows(backend.catalog, "delta")]


@pytest.mark.slow
def test_a_serial_project_waits_says_so_and_goes_on(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", sqlite.env["PYTHONPATH"])
    target = sqlite.folder(files=tiny_files(3))
    made = printed(
        "create",
        "delta",
        *(
            "-t",
            target,
            "-s",
            sqlite.staging(),
            "--car-size",
            1,
            "--load-type",
            "serial",
            "--staging-budget",
            2,
        ),
    )
    assert (made["load_type"], made["staging_budget"]) == ("serial", 2)
    plan_small(sqlite.catalog, "delta", 3100)
    row, _ = blitz_stage.build_container(sqlite.catalog, "delta", 0)
    first = sqlite.staging() / row.file_name
    size = first.stat().st_size
    os.truncate(first, 2 << 30)  # what stands in a CAR's place takes its room, whatever it is

    def leave(_: float) -> None:
        (shown,) = printed("status")
        assert (shown["cars"]["built"], shown["waiting"]["container"], shown["waiting"]["bytes"]) == (
            1,
            1,
            size,
        )
        assert shown["status"].startswith("waiting for ")
        assert shown["missing"] == 1  # the file isn't the CAR
        told = ptolemy("status", "delta").stderr
        assert "1 of 3 CARs are built; CAR 000001 waits for " in told
        assert f"({size:,} bytes) to leave {sqlite.staging()}" in told
        assert "then run ptolemy blitz delta (with --wait" in told
        assert "isn't whole in staging_dir and isn't marked as delivered (delta/0)" in told
        first.unlink()
        ptolemy("release", "delta/0", "--note", "s3://cold")

    monkeypatch.setattr("ptolemy_dagster.cli.waiting.time", SimpleNamespace(sleep=leave))
    done = ptolemy("blitz", "delta", "--wait")
    assert "CAR 000001 of delta waits for " in done.stderr
    assert len(sqlite.cars()) == 3
    assert len(sqlite.staged()) == 2
    assert "delivered s3://cold" in done.stdout
    assert "waits for" not in ptolemy("status").stderr


def test_blitz_without_wait_says_how_to_go_on(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptolemy_core.catalog import waiting
    from ptolemy_dagster.cli import stages

    sqlite.define(target=sqlite.folder(files=tiny_files(2)), load_type="serial")
    plan_small(sqlite.catalog, "delta", 3100)
    row, _ = blitz_stage.build_container(sqlite.catalog, "delta", 0)
    os.truncate(sqlite.staging() / row.file_name, 4 << 30)
    waiting.record(sqlite.catalog, "delta", 1, 5)
    monkeypatch.setattr(stages, "run_stage", lambda *_: sqlite.catalog)
    for command in ("blitz", "run"):
        said = ptolemy(command, "delta").stderr
        assert "1 of 2 CARs are built; CAR 000001 waits for" in said
        assert "then run ptolemy blitz delta" in said
    (sqlite.staging() / row.file_name).unlink()
    assert "the next one fits now: ptolemy blitz delta" in ptolemy("blitz", "delta").stderr


def test_ctrl_c_ends_the_wait_with_a_word(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptolemy_core.catalog.waiting import Waiting
    from ptolemy_dagster.cli import stages

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "run_stage", lambda *_: sqlite.catalog)
    monkeypatch.setattr(
        "ptolemy_core.status.free_space.still_waiting", lambda *_: Waiting("delta", 1, 5, 0.0)
    )
    monkeypatch.setattr("ptolemy_dagster.cli.waiting.time", SimpleNamespace(sleep=interrupt))
    stopped = ptolemy("blitz", "delta", "--wait", code=130)
    assert "CAR 000001 of delta waits for 5 B (5 bytes) to leave staging_dir; Ctrl-C stops" in stopped.stderr
    assert "waiting stopped; what is built stays built, and ptolemy blitz delta resumes" in stopped.stderr
    assert "interrupted; run again to resume" in stopped.stderr


def test_create_refuses_a_budget_that_holds_no_car(sqlite: Backend) -> None:
    arguments = ("create", "delta", "-t", sqlite.folder(), "-s", sqlite.staging(), "--staging-budget")
    assert "staging_budget 3 GiB is too small" in error_of(*arguments, 3, "--load-type", "serial", code=2)
    assert "staging_budget 99 GiB needs load_type serial" in error_of(*arguments, 99, code=2)


def test_a_staging_dir_that_can_not_be_listed_leaves_open_where_cars_are(sqlite: Backend) -> None:
    files = built(sqlite)
    folder = files[0].parent
    folder.rename(folder.with_name("away"))
    folder.write_bytes(b"no folder")
    back = ptolemy("cars", "delta")
    assert back.stdout.count("unknown: staging_dir can't be listed") == len(files)
    assert "missing" not in back.stdout
    assert "warning: " in back.stderr
    assert {row["in_staging"] for row in printed("cars", "delta")} == {None}


def test_release_marks_removes_and_takes_back(backend: Backend) -> None:
    files = built(backend)
    rows = printed("cars", "delta")
    assert [(row["in_staging"], row["delivered_at"]) for row in rows] == [(True, None)] * 3
    assert all(row["verified_at"] for row in rows)
    names = (rows[0]["payload_cid"], rows[1]["piece_cid_v2"])
    done = printed("release", *names, "--note", "https://sp/7")
    assert [(row["container"], row["delivered_to"], row["done"]) for row in done] == [
        (0, "https://sp/7", "marked as delivered"),
        (1, "https://sp/7", "marked as delivered"),
    ]
    text = ptolemy("release", files[2], rows[2]["file_name"], "delta/2", "--remove").stdout
    assert text == f"delta/000002 {files[2].name}: marked as delivered, file removed\n"
    assert not files[2].exists()
    assert [row["in_staging"] for row in printed("cars", "delta")] == [True, True, False]
    table = ptolemy("cars", "delta").stdout
    assert "staging, delivered https://sp/7" in table
    back = ptolemy("release", "--undo", "delta/2")
    assert "no longer marked as delivered" in back.stdout
    assert "its file isn't in staging_dir: it counts as missing now" in back.stderr
    assert "missing: neither in staging nor marked as delivered" in ptolemy("cars", "delta").stdout
    assert "1 built CAR isn't whole in staging_dir" in ptolemy("status", "delta").stderr


def test_release_of_what_is_no_car_or_not_whole_changes_nothing(sqlite: Backend) -> None:
    files = built(sqlite)
    assert "no built CAR matches 'delta/9'" in error_of("release", "delta/0", "delta/9")
    assert "no built CAR of project 'echo'" in error_of("release", "delta/0", "-p", "echo")
    os.truncate(files[1], 7)
    assert f"{files[1]} is 7 bytes, the CAR has" in error_of("release", "delta/0", "delta/1", "--remove")
    ptolemy("release", "delta/0", "--undo", "--remove", code=2)
    ptolemy("release", code=2)
    assert [row["delivered_at"] for row in printed("cars", "delta")] == [None] * 3
    assert len(sqlite.staged()) == 3


def test_delete_source_is_a_dry_run_until_told(backend: Backend) -> None:
    built(backend)
    data = backend.root / "data"
    kept = printed("delete-source", "delta")
    assert (kept["files"], kept["kept"]) == (0, {"not all of it is in a CAR that is delivered": 3})
    ptolemy("release", "delta/0", "delta/1", "--remove")
    dry = ptolemy("delete-source", "delta")
    assert "000.bin" in dry.stdout
    assert "dry run, nothing was deleted; --delete would delete: 2 entries, 5.86 KiB" in dry.stderr
    assert "1 stays: not all of it is in a CAR that is delivered (as 002.bin)" in dry.stderr
    assert len(list(data.iterdir())) == 3
    done = printed("delete-source", "delta", "000.bin", "--delete")
    assert (done["deleted"], done["files"], done["bytes"]) == (True, 1, 3000)
    assert printed("delete-source", "delta", data / "001.bin", "--delete", "--folders")["files"] == 1
    assert [path.name for path in data.iterdir()] == ["002.bin"]
    journal = printed("deleted", "delta")
    assert [(row["path"], row["kind"], row["size"]) for row in journal] == [
        ("000.bin", "file", 3000),
        ("001.bin", "file", 3000),
    ]
    assert all(row["deleted_at"] and row["file_cid"].startswith("bafk") for row in journal)
    assert len(printed("deleted", "delta", "--limit", 1)) == 1
    assert journal[0]["file_cid"] in ptolemy("deleted", "delta").stdout
    lines = (backend.root / "home" / "deleted" / "delta.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["deleting", "deleted"] * 2


def test_delete_source_of_what_may_not_be_deleted_exits_1(sqlite: Backend) -> None:
    built(sqlite)
    assert "nothing was deleted" in ptolemy("delete-source", "delta", "000.bin", "--delete", code=1).stderr
    assert "found nothing at 'nope'" in error_of("delete-source", "delta", "nope")
    assert "PATH is empty" in error_of("delete-source", "delta", "--delete", "", code=2)
    for outside in (".", "..", "../data/000.bin", "/", "/etc/passwd", "a/../.."):
        message = error_of("delete-source", "delta", "--delete", "--", outside)
        assert f"{outside!r} isn't below target_dir" in message
    assert "no project 'nemo'" in error_of("delete-source", "nemo")
    assert "no project 'nemo'" in error_of("deleted", "nemo")
    assert len(list((sqlite.root / "data").iterdir())) == 3


def test_awkward_names_are_deleted_by_name(sqlite: Backend, awkward: Path) -> None:
    sqlite.define(target=awkward)
    with sqlite.instance() as instance:
        in_process("onboard", "delta", instance)
    ptolemy("release", "delta/0")
    names = os.listdir(os.fsencode(awkward))
    done = process(sqlite, "delete-source", "delta", "--delete", "--json", "--", *names[:4])
    assert done.returncode == 0, done.stderr
    result: Any = json.loads(done.stdout)
    assert result["files"] == 4
    assert os.listdir(os.fsencode(awkward)) == names[4:]
    assert len(printed("deleted", "delta")) == 4
