"""The executor of runs on one machine: a step runs in the run's own process or in one of its own, as each is worth.

A process of its own costs a step a third of a second and keeps the run alive when the step crashes. This loop is that
of Dagster's multiprocess executor, whose step processes it uses; a step in the run's process is executed as Dagster's
in-process executor does it.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterSubprocessError
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import _trigger_hook, dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.child_process_executor import ChildProcessCrashException
from dagster._core.executor.multiprocess import execute_step_out_of_process
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from ptolemy_dagster.internals import forkserver

_POLL = 0.05
_INTERRUPTED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")

InRun = Callable[[dg.DagsterRun, str, dict[str, str]], bool]
"""Whether a step may run in the run's own process: told the run, the step's key and its tags."""


class StepExecutor(Executor):
    """Runs each step in the run's process or in its own."""

    def __init__(self, at_once: int, in_run: InRun) -> None:
        """`at_once`: steps in processes of their own at the same time."""
        self._at_once = at_once
        self._in_run = in_run

    @property
    def retries(self) -> RetryMode:
        """Steps' own retry policies hold."""
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        """Run a plan; Dagster calls this."""
        yield DagsterEvent.engine_event(
            plan_context,
            f"Executing steps in this process (pid: {os.getpid()}) and in processes of their own",
            EngineEventData.multiprocess(
                os.getpid(), step_keys_to_execute=execution_plan.step_keys_to_execute
            ),
        )
        with (
            InstanceConcurrencyContext(plan_context.instance, plan_context.dagster_run) as concurrency,
            ActiveExecution(
                execution_plan,
                retry_mode=self.retries,
                max_concurrent=self._at_once,
                instance_concurrency_context=concurrency,
                step_dependency_config=self.step_dependency_config,
            ) as active,
        ):
            yield from _Run(plan_context, execution_plan, active, self).steps()

    def may_run_here(self, run: dg.DagsterRun, step: ExecutionStep) -> bool:
        """Whether a step may run in the run's own process."""
        return self._in_run(run, step.key, dict(step.tags))

    def free(self, used: int) -> int:
        """How many more processes may be started."""
        return max(0, self._at_once - used)


class _Run:
    """One run: its steps under way, and what became of them."""

    def __init__(
        self,
        context: PlanOrchestrationContext,
        plan: ExecutionPlan,
        active: ActiveExecution,
        executor: StepExecutor,
    ) -> None:
        self._context = context
        self._plan = plan
        self._active = active
        self._executor = executor
        self._children = _Children(context, plan)
        self._here = _Here(context, plan)
        self._stopping = False

    def steps(self) -> Iterator[DagsterEvent]:
        """Run all steps; events as they happen."""
        try:
            while not (self._stopping or self._active.is_complete) or self._children.events:
                if self._active.check_for_interrupts():
                    yield from self._stop()
                here = [] if self._stopping else self._start()
                yield from self._active.concurrency_event_iterator(self._context)
                yield from self._listen()
                for step in here:
                    yield from self._run_here(step)
                yield from self._active.plan_events_iterator(self._context)
                if not self._children.events and not here:
                    time.sleep(_POLL)
        except BaseException:
            self._children.stop()
            list(self._here.close())
            raise
        yield from self._here.close()
        self._end()

    def _start(self) -> list[ExecutionStep]:
        """Start steps in processes of their own; returns those that may run in this one."""
        here: list[ExecutionStep] = []
        for step in self._active.get_steps_to_execute(self._executor.free(len(self._children.events))):
            if self._here.usable and self._executor.may_run_here(self._context.dagster_run, step):
                here.append(step)
            else:
                self._children.start(step, self._active)
        return here

    def _listen(self) -> Iterator[DagsterEvent]:
        """Events of the processes; each is waited for a few milliseconds."""
        for key, events in list(self._children.events.items()):
            try:
                event = next(events)
            except StopIteration:
                self._children.forget(key)
                self._active.verify_complete(self._context, key)
            except ChildProcessCrashException as crash:
                yield from self._crashed(key, crash)
                self._children.forget(key)
                self._active.verify_complete(self._context, key)
            else:
                if event is None:
                    continue
                yield event
                self._active.handle_event(event)
                if event.is_resource_init_failure:
                    yield from self._failed(key, event.engine_event_data.error)

    def _crashed(self, key: str, crash: ChildProcessCrashException) -> Iterator[DagsterEvent]:
        error = serializable_error_info_from_exc_info(sys.exc_info())
        yield DagsterEvent.engine_event(
            self._step_context(key),
            f"The process of step {key} ended unexpectedly with exit code {crash.exit_code}",
            EngineEventData.engine_error(error),
        )
        for event in self._failed(key, error):
            yield event
            if event.is_step_failure:
                self._children.errors[crash.pid] = error

    def _failed(self, key: str, error: SerializableErrorInfo | None) -> Iterator[DagsterEvent]:
        """Fail a step, or have it tried again as its retry policy says."""
        assert error is not None
        event = self._executor.log_failure_or_retry_event_after_error(
            self._step_context(key), error, self._active.get_known_state()
        )
        yield event
        self._active.handle_event(event)

    def _step_context(self, key: str) -> Any:
        return self._context.for_step(self._active.get_step_by_key(key))

    def _run_here(self, step: ExecutionStep) -> Iterator[DagsterEvent]:
        if self._stopping or self._active.check_for_interrupts():
            if not self._stopping:
                yield from self._stop()
            return
        yield from self._here.prepare()
        if not self._here.usable:  # a resource couldn't be made: the step's own process tells of it
            self._children.start(step, self._active)
            return
        try:
            yield from self._here.run(step, self._active)
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            yield from self._stop()

    def _stop(self) -> Iterator[DagsterEvent]:
        yield DagsterEvent.engine_event(
            self._context,
            "The run is to stop: its steps are told to",
            EngineEventData.interrupted(list(self._children.events)),
        )
        self._stopping = True
        self._active.mark_interrupted()
        self._children.stop()

    def _end(self) -> None:
        errors = self._children.errors
        if self._stopping and all(error.cls_name in _INTERRUPTED for error in errors.values()):
            raise DagsterExecutionInterruptedError
        if errors:
            said = "\n".join(f"process {pid}: {error.to_string()}" for pid, error in errors.items())
            raise DagsterSubprocessError(  # type: ignore[no-untyped-call]
                f"steps broke in their processes:\n{said}", subprocess_error_infos=list(errors.values())
            )


def _was_interrupted(error: SerializableErrorInfo | None) -> bool:
    """Whether an error comes from an interrupt."""
    while error is not None:
        if error.cls_name in _INTERRUPTED:
            return True
        error = error.cause
    return False


class _Children:
    """Steps in processes of their own, which Dagster's multiprocess executor starts."""

    def __init__(self, context: PlanOrchestrationContext, plan: ExecutionPlan) -> None:
        self._context = context
        self._plan = plan
        self._processes: dict[str, Any] = {}
        self._stops: dict[str, Any] = {}
        self.events: dict[str, Iterator[DagsterEvent | None]] = {}
        self.errors: dict[int, SerializableErrorInfo] = {}

    def start(self, step: ExecutionStep, active: ActiveExecution) -> None:
        """Start a step's process, with the first look at its events."""
        processes = forkserver.context()
        self._stops[step.key] = processes.Event()
        self.events[step.key] = execute_step_out_of_process(
            processes,
            self._context.reconstructable_job,
            self._context.for_step(step),
            step,
            self.errors,
            self._processes,
            self._stops,
            RetryMode.ENABLED,
            active.get_known_state(),
            self._plan.repository_load_data,
        )

    def stop(self) -> None:
        """Tell all to stop, once."""
        for key, stop in self._stops.items():
            process = self._processes.pop(key, None)
            if process is not None and process.is_alive():
                stop.set()

    def forget(self, key: str) -> None:
        """A step's process has ended."""
        del self.events[key], self._stops[key]
        self._processes.pop(key, None)


class _Here:
    """Steps in the run's own process: they share its resources, made before the first of them."""

    def __init__(self, context: PlanOrchestrationContext, plan: ExecutionPlan) -> None:
        self._manager = PlanExecutionContextManager(
            job=context.job,
            execution_plan=plan,
            run_config=context.run_config,
            dagster_run=context.dagster_run,
            instance=context.instance,
            retry_mode=RetryMode.ENABLED,
        )
        self._context: PlanExecutionContext | None = None
        self._prepared = False

    @property
    def usable(self) -> bool:
        """Whether steps can run here, as far as is known."""
        return not self._prepared or self._context is not None

    def prepare(self) -> Iterator[DagsterEvent]:
        """Make the resources, if they aren't yet."""
        if not self._prepared:
            self._prepared = True
            for event in self._manager.prepare_context():
                if not event.is_resource_init_failure:
                    yield event
            self._context = self._manager.get_context()

    def run(self, step: ExecutionStep, active: ActiveExecution) -> Iterator[DagsterEvent]:
        """Run a step to its end.

        Raises:
            DagsterExecutionInterruptedError: it was interrupted.
        """
        assert self._context is not None
        context = self._context.for_step(step, active.get_known_state())
        events: list[DagsterEvent] = []
        for event in dagster_event_sequence_for_step(context):
            events.append(event)
            yield event
            active.handle_event(event)
            if event.is_step_up_for_retry and _was_interrupted(event.step_retry_data.error):
                raise DagsterExecutionInterruptedError  # a retry policy takes it for a failure
        active.verify_complete(self._context, step.key)
        for event in active.plan_events_iterator(self._context):
            events.append(event)
            yield event
        yield from _trigger_hook(context, events)

    def close(self) -> Iterator[DagsterEvent]:
        """Give the resources back."""
        if self._context is not None:
            yield from self._manager.shutdown_context()
