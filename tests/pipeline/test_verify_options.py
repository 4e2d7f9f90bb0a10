"""The verification's settings in Dagster: what passed before isn't read again, unless it is asked for."""

import time
from typing import Any

import dagster as dg

from ptolemy_dagster.definitions import defs

from .backend import Backend, in_process

NOT_READ = "passed before and unchanged, not read again"


def verification(instance: Any, **options: bool) -> dg.AssetCheckEvaluation:
    config = {"ops": {"built_cars_cars_verify": {"config": options}}} if options else None
    result = defs.resolve_job_def("verify").execute_in_process(
        tags={"dagster/partition": "delta"}, instance=instance, run_config=config, raise_on_error=False
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def test_again_and_source(sqlite: Backend, instance: Any) -> None:
    target = sqlite.folder()
    sqlite.define(target=target, instance=instance)
    for job in ("scan", "containerize", "blitz"):
        in_process(job, "delta", instance)
    time.sleep(0.05)  # a file's time of change may be a tick behind the clock
    for options, skipped in (({}, 0), ({}, 1), ({"again": True}, 0), ({"source": True}, 1)):
        check = verification(instance, **options)
        assert check.passed
        assert check.metadata[NOT_READ].value == skipped
    with (target / "a.txt").open("ab") as changed:
        changed.write(b"more")
    assert verification(instance).passed
    check = verification(instance, source=True)
    assert not check.passed
    assert "a.txt" in str(check.description)
    assert "in the source" in str(check.description)
