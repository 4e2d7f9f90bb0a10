"""Targets that are away, and entries left out, as Dagster, the command line and the HTTP API show them."""

import os
from typing import Any

import dagster as dg

from tests.cli.commands import error_of, printed, ptolemy
from tests.http_api.client import in_process as api_in_process
from tests.pipeline.backend import Backend, failure_of, in_process


def test_entries_left_out_warn_by_a_check_that_blocks_nothing(sqlite: Backend, instance: Any) -> None:
    os.mkfifo(sqlite.folder() / "pipe")
    sqlite.define(target=sqlite.root / "data", instance=instance)
    result = in_process("onboard", "delta", instance)
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "nothing_left_out"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "1 entry is in no CAR (1 pipe, socket or device)"
    run = instance.get_run_by_id(result.run_id)
    assert "progress" in run.tags
    (sqlite.root / "data" / "pipe").unlink()
    again = in_process("scan", "delta", instance)
    assert [c.passed for c in again.get_asset_check_evaluations()] == [True]


def test_the_command_line_and_the_api_count_what_is_in_no_car(sqlite: Backend, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", sqlite.env["PYTHONPATH"])
    os.mkfifo(sqlite.folder() / "pipe")
    sqlite.define(target=sqlite.root / "data")
    counts = {"unreadable": 0, "special": 1, "own": 0, "dropped": 0, "total": 1}
    done = printed("run", "delta")
    assert (done["project"], len(done["cars"]), done["not_stored"]) == ("delta", 1, counts)
    (status,) = printed("status", "delta")
    assert (status["status"], status["not_stored"]) == ("blitz complete", counts)
    shown = ptolemy("status", "delta")
    assert "delta: 1 entry is in no CAR (1 pipe, socket or device)" in shown.stderr
    verified = ptolemy("verify", "delta", "--source")
    assert "that are in CARs have the same content as the 1 CAR here" in verified.stderr
    assert "warning: 1 entry is in no CAR" in verified.stderr
    assert printed("verify", "delta")["not_stored"] == counts
    with api_in_process(sqlite) as api:
        answer = api.get("/v0/projects/delta")
    assert (answer["status"], answer["empty"], answer["not_stored"]) == ("blitz complete", False, counts)


def test_an_empty_target_fails_a_scan_unless_the_loss_is_accepted(sqlite: Backend, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", sqlite.env["PYTHONPATH"])
    sqlite.define()
    ptolemy("scan", "delta")
    target = sqlite.root / "data"
    target.rename(sqlite.root / "away")
    target.mkdir()
    assert "has no entries, and the last scan found 2 that should be there" in error_of("run", "delta")
    assert printed("status", "delta")[0]["status"] == "scan failed"
    accepted = ptolemy("scan", "delta", "--accept-loss")
    assert "project 'delta' holds no files: its last scan found no file" in accepted.stderr
    assert "project 'delta' holds no files" in ptolemy("containerize", "delta").stderr
    assert "project 'delta' holds no files" in error_of("blitz", "delta")
    assert "project 'delta' holds no files" in error_of("verify", "delta")
    assert "delta: nothing to store" in ptolemy("status", "delta").stderr


def test_the_api_hands_an_accepted_loss_to_the_run_and_to_its_retry(sqlite: Backend) -> None:
    sqlite.define()
    wanted = {"ops": {"scan_result": {"config": {"accept_loss": True}}}}
    with api_in_process(sqlite) as api:
        first = api.post("/v0/scan/delta?accept_loss=true")["run_id"]
        assert api.dagster.instance.get_run_by_id(first).run_config == wanted
        api.post(f"/v0/runs/{first}/cancel")
        second = api.post(f"/v0/runs/{first}/retry")["run_id"]
        assert api.dagster.instance.get_run_by_id(second).run_config == wanted
        api.post(f"/v0/runs/{second}/cancel")
        third = api.post("/v0/onboard/delta")["run_id"]
        assert api.dagster.instance.get_run_by_id(third).run_config == {}


def test_a_failed_scan_in_dagster_names_the_flag(sqlite: Backend, instance: Any) -> None:
    sqlite.define(instance=instance)
    in_process("scan", "delta", instance)
    (sqlite.root / "data" / "a.txt").unlink()
    (sqlite.root / "data" / "b" / "c.bin").unlink()
    (sqlite.root / "data" / "b").rmdir()
    failed = in_process("scan", "delta", instance, raise_on_error=False)
    assert "(over HTTP and in a run's configuration: accept_loss)" in failure_of(failed)
