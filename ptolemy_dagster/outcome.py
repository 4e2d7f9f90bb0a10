"""What became of a run, from Dagster's storage."""

import dagster as dg

from ptolemy_dagster.execute import Answer
from ptolemy_dagster.failures import why_failed
from ptolemy_dagster.instance import open_instance

LAUNCH_TAG = ".dagster/ptolemy_launch"


def answer_of(instance: dg.DagsterInstance, run_id: str) -> Answer:
    """How a run ended, and why."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.SUCCESS:
        return Answer(began=True, ended=True, run_id=run_id, ok=True)
    why = why_failed(instance, run_id)
    return Answer(began=True, ended=True, run_id=run_id, reasons=why.reasons, codes=why.codes)


def answer_for_dead(launch: str) -> Answer:
    """How a run ended whose process died before it could say that; the run is failed if nothing else did it."""
    with open_instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={LAUNCH_TAG: launch}))
        if not runs:
            return Answer()
        if not runs[0].is_finished:
            instance.report_run_failed(runs[0], "its process ended before it did")
        return answer_of(instance, runs[0].run_id)
