"""A step on a worker's machine: in a process of its own, which ends with the worker or when nobody wants it.

Dagster's own child process of the multiprocess executor runs it, so a step does the same here as there.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.child_process_executor import (
    ChildProcessCrashException,
    ChildProcessSystemErrorEvent,
    execute_child_process_command,
)
from dagster._core.executor.multiprocess import MultiprocessExecutorChildProcessCommand
from dagster_shared.error import SerializableErrorInfo
from distributed import Worker, get_worker

from ptolemy_dagster.instance import open_instance
from ptolemy_dagster.internals import forkserver

_GRACE = 15.0
"""Seconds that a step which isn't wanted any more has to clean up."""

_RUNNING = ("init", "running", "paused")


@dataclass(frozen=True)
class Step:
    """A step to run, as the executor sends it."""

    key: str
    run: dg.DagsterRun
    run_config: Any
    job: ReconstructableJob
    retries: RetryMode
    known_state: KnownExecutionState
    repository_load_data: Any


@dataclass
class Outcome:
    """What became of a step.

    Attributes:
        host, pid: where it ran.
        events: that it yielded; they are in Dagster's event log already.
        error: what broke its process from within.
        exit_code: of a process that just ended.
    """

    host: str
    pid: int = 0
    events: list[DagsterEvent] = field(default_factory=list)
    error: SerializableErrorInfo | None = None
    exit_code: int | None = None


class _Command(MultiprocessExecutorChildProcessCommand):
    def execute(self) -> Iterator[DagsterEvent]:
        threading.Thread(target=_end_with_worker, args=(os.getppid(),), daemon=True).start()
        yield from super().execute()


def _end_with_worker(parent: int) -> None:
    """End this process when its forkserver has ended, which does when the worker does."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run_step(step: Step) -> Outcome:
    """Run a step in a child process; Dask calls this in a thread of its worker."""
    worker, task = get_worker(), get_worker().get_current_task()
    context = forkserver.context()
    stop = context.Event()
    outcome = Outcome(socket.gethostname())
    with open_instance() as instance:  # of this machine: its folders may be elsewhere
        command = _Command(
            run_config=step.run_config,
            dagster_run=step.run,
            step_key=step.key,
            instance_ref=instance.get_ref(),
            term_event=stop,
            recon_pipeline=step.job,
            retry_mode=step.retries,
            known_state=step.known_state,
            repository_load_data=step.repository_load_data,
        )
    process: Any = None
    stopped = 0.0
    try:
        for answer in execute_child_process_command(context, command):
            if isinstance(answer, BaseProcess):
                process, outcome.pid = answer, answer.pid or 0
            elif isinstance(answer, ChildProcessSystemErrorEvent):
                outcome.error = answer.error_info
            elif isinstance(answer, DagsterEvent):
                outcome.events.append(answer)
            if not stopped and not _is_wanted(worker, task):
                stop.set()
                stopped = time.monotonic()
            elif stopped and time.monotonic() - stopped > _GRACE:
                process.kill()
    except ChildProcessCrashException as crash:
        outcome.exit_code = crash.exit_code
    return outcome


def _is_wanted(worker: Worker, task: object) -> bool:
    """Whether the scheduler still wants this task of this worker: its run may be canceled, or the scheduler lost."""
    state: Any = worker.state.tasks.get(task)  # type: ignore[call-overload]
    return (
        worker.status.name in _RUNNING and state is not None and state.state in ("executing", "long-running")
    )
