"""What became of a run, from Dagster's storage."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ptolemy_dagster.execute import Answer
from ptolemy_dagster.failures import CODE
from ptolemy_dagster.instance import open_instance

LAUNCH_TAG = "ptolemy/launch"
_CHECK_FAILED = "DagsterAssetCheckFailedError"
"""What Dagster raises behind a check that failed: the check's own words say more."""
_FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


def answer_of(instance: dg.DagsterInstance, run_id: str) -> Answer:
    """How a run ended, and why."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.SUCCESS:
        return Answer(began=True, ended=True, run_id=run_id, ok=True)
    reasons, codes = _reasons(instance, run_id)
    return Answer(began=True, ended=True, run_id=run_id, reasons=reasons, codes=codes)


def answer_for_dead(launch: str) -> Answer:
    """How a run ended whose process died before it could say that; the run is failed if nothing else did it."""
    with open_instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={LAUNCH_TAG: launch}))
        if not runs:
            return Answer()
        if not runs[0].is_finished:
            instance.report_run_failed(runs[0], "its process ended before it did")
        return answer_of(instance, runs[0].run_id)


def _reasons(instance: dg.DagsterInstance, run_id: str) -> tuple[list[str], list[str]]:
    """What failed steps and checks said, and the codes of their errors."""
    reasons: list[str] = []
    codes: list[str] = []
    for record in instance.all_logs(run_id, of_type=_FAILURES):
        event = record.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                codes.append("check-failed")
                reasons.append(check.description or f"check {check.check_name} failed")
            continue
        data = event.step_failure_data
        cause = data.error.cause if data.error else None
        if data.user_failure_data and data.user_failure_data.description:
            reasons.append(data.user_failure_data.description)
            codes += _codes(data.user_failure_data.metadata)
        elif data.error and data.error.cls_name != _CHECK_FAILED:
            reasons.append((cause or data.error).message.strip())
    return list(dict.fromkeys(reasons)), codes


def _codes(metadata: Mapping[str, dg.MetadataValue[Any]]) -> list[str]:
    found = metadata.get(CODE)
    return str(found.value).split(", ") if found is not None else []
