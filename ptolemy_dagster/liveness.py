"""Whether a run's worker still lives: it holds a lock in the catalog, which ends with it, on whatever machine.

Dagster's default launcher hears of a dead worker from the code server that started it. When both died, as they
do with their machine, nothing reports it: the run would look started forever, and the queue would wait for it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import dagster as dg

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import is_lost
from ptolemy_core.errors import BusyError, PtolemyError, UnavailableError
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster.alive import HOST_TAG, PID_TAG, WATCHED_TAG, holds_lock, lock_of, run_lives
from ptolemy_dagster.internals.running import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    RetryMode,
    WorkerStatus,
    requirements_of,
)
from ptolemy_dagster.partitions import require_partition
from ptolemy_dagster.run_facts import RunFacts

__all__ = ["HOST_TAG", "PID_TAG", "WATCHED_TAG", "PtolemyRunLauncher", "is_alive", "watched", "worker_lives"]

_CHECK = 5.0
"""Seconds between two looks of a worker at its lock, which ends when Postgres is restarted."""

_MAX_RETRIES = "dagster/max_retries"

_GRACE = 2.6 * _CHECK
"""Seconds without a lock after which a worker is dead. No multiple of 5: the daemon's loops have that beat, and one
that looks for failed runs just while this one fails a run doesn't see that it is to be retried."""


def watched(executor: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """The same executor, in a worker that shows that it lives."""

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        make: Any = executor.executor_creation_fn
        return Watched(make(context))

    schema: Any = executor.config_schema
    return dg.ExecutorDefinition(
        name=executor.name,
        config_schema=schema,
        requirements=requirements_of(executor),
        executor_creation_fn=create,
        description=executor.description,
    )


class Watched(dg.Executor):
    """An executor whose run shows that it lives, and has a partition that is there."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        run_id = plan_context.run_id
        catalog = Catalog()
        instance = plan_context.instance
        try:
            require_partition(catalog, instance, plan_context.dagster_run.tags)
        except PtolemyError:
            instance.add_run_tags(run_id, {_MAX_RETRIES: "0"})  # it would be refused again
            raise
        with _shown_alive(catalog, run_id):
            instance.add_run_tags(run_id, {WATCHED_TAG: "yes"})
            yield from self._inner.execute(plan_context, execution_plan)


@contextmanager
def _shown_alive(catalog: Catalog, run_id: str) -> Iterator[None]:
    """Hold a run's lock while the block lasts, taking it again when it is lost."""
    taken, stop = threading.Event(), threading.Event()

    def hold() -> None:
        while not stop.is_set():
            try:
                with catalog.lock(lock_of(run_id)) as check:
                    taken.set()
                    while not stop.wait(_CHECK):
                        check()
            except (BusyError, UnavailableError):
                stop.wait(_CHECK)
            except Exception as error:
                if not is_lost(error):
                    raise

    thread = threading.Thread(target=hold, name="shown alive", daemon=True)
    thread.start()
    try:
        taken.wait(_GRACE)
        yield
    finally:
        stop.set()
        thread.join(_CHECK)


def is_alive(catalog: Catalog, record: dg.RunRecord, state: ProjectState) -> bool:
    """Whether a run waits or is under way: a killed one leaves its status behind.

    Everybody asks here: status, HTTP API, sensors, and run monitoring (see `worker_lives`).

    Args:
        catalog: that holds the run's project.
        record: of the run.
        state: of the project.
    """
    return run_lives(catalog, facts_of(record), state)


def facts_of(record: dg.RunRecord) -> RunFacts:
    """What is known of a run."""
    run = record.dagster_run
    updated = record.update_timestamp.timestamp()
    return RunFacts(run.run_id, run.job_name, run.status.value, updated, run.tags)


def worker_lives(catalog: Catalog, run_id: str) -> bool:
    """Whether a watched run's worker lives, surely: it waits for a while before it says no."""
    end = time.monotonic() + _GRACE
    while time.monotonic() < end:
        if holds_lock(catalog, run_id):
            return True
        time.sleep(1)
    return False


class PtolemyRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, and whether a worker lives: run monitoring fails the runs of dead ones."""

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Dagster's daemon asks this of each started run."""
        if WATCHED_TAG not in run.tags or worker_lives(self._catalog, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its worker died with its code server or machine")
