"""Dagster's executor over a Dask scheduler: each step runs on a worker, and again elsewhere if that is lost.

The executor of dagster-dask sends a plan's steps once: it has neither dynamic steps nor retries, both of which a
blitz needs. This one steps through the plan as Dagster's multiprocess executor does. A step's result
counts when Dask accepts it, once: what a worker that was given up still says is in the log, and changes nothing.
"""

import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterSubprocessError
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from ptolemy_core.errors import PtolemyError
from ptolemy_dagster.machines.settings import DASK

_POLL = 0.2
_LOOK = 2.0
"""Seconds between two looks at which workers there are."""

_SENDS = 10
"""Times that a step is sent at most, when the scheduler forgets it."""


@dg.executor(
    name="ptolemy_dask",
    config_schema={"address": dg.Field(str, description="The scheduler's, as tcp://HOST:8786.")},
    requirements=dg.multiple_process_executor_requirements(),
)
def dask_executor(context: dg.InitExecutorContext) -> "DaskExecutor":
    """Steps on the workers of a Dask scheduler."""
    return DaskExecutor(str(context.executor_config["address"]))


class DaskExecutor(Executor):
    """Runs steps on the workers of the scheduler at an address."""

    def __init__(self, address: str) -> None:
        """`address`: as tcp://HOST:8786."""
        self._address = address

    @property
    def retries(self) -> RetryMode:
        """Steps' own retry policies hold."""
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        """Run a plan; Dagster calls this."""
        import dask
        from distributed import Client

        dask.config.set(DASK)
        try:
            client: Any = Client(self._address, set_as_default=False, timeout="10s")  # type: ignore[no-untyped-call]
        except OSError as error:
            raise PtolemyError(
                f"the scheduler at {self._address} doesn't answer: start it with `ptolemy scheduler`, "
                "or unset PTOLEMY_SCHEDULER to build on this machine"
            ) from error
        with (
            client,
            InstanceConcurrencyContext(plan_context.instance, plan_context.dagster_run) as concurrency,
            ActiveExecution(
                execution_plan, retry_mode=self.retries, instance_concurrency_context=concurrency
            ) as active,
        ):
            yield from _Run(client, plan_context, execution_plan, active).steps()


class _Run:
    """One run: its steps that are on workers, and what became of them."""

    def __init__(
        self, client: Any, context: PlanOrchestrationContext, plan: ExecutionPlan, active: ActiveExecution
    ) -> None:
        self._client = client
        self._context = context
        self._plan = plan
        self._active = active
        self._futures: dict[str, Any] = {}
        self._sends: dict[str, int] = {}
        self._errors: list[SerializableErrorInfo] = []
        self._workers: dict[str, str] | None = None
        self._slots = 0
        self._looked = 0.0

    def steps(self) -> Iterator[DagsterEvent]:
        """Run all steps; events as they are known."""
        try:
            while not self._active.is_complete or self._futures:
                if self._active.check_for_interrupts():
                    yield from self._interrupt()
                yield from self._look_at_workers()
                for step in self._active.get_steps_to_execute(max(0, self._slots - len(self._futures))):
                    self._send(step)
                yield from self._active.concurrency_event_iterator(self._context)
                for key, future in list(self._futures.items()):
                    if future.done():
                        del self._futures[key]
                        yield from self._finish(key, future)
                yield from self._active.plan_events_iterator(self._context)
                time.sleep(_POLL)
        finally:
            self._client.cancel(list(self._futures.values()))
        if self._errors:
            raise DagsterSubprocessError(  # type: ignore[no-untyped-call]
                "steps broke on workers: " + "\n".join(error.to_string() for error in self._errors),
                subprocess_error_infos=self._errors,
            )

    def _interrupt(self) -> Iterator[DagsterEvent]:
        self._active.mark_interrupted()
        yield DagsterEvent.engine_event(
            self._context,
            "The run is to stop: its steps are taken back from the workers",
            EngineEventData.interrupted(list(self._futures)),
        )
        raise DagsterExecutionInterruptedError

    def _send(self, step: ExecutionStep) -> None:
        from ptolemy_dagster.internals.dask_steps import Step, run_step

        self._sends[step.key] = self._sends.get(step.key, 0) + 1
        sent = Step(
            key=step.key,
            run=self._context.dagster_run,
            run_config=self._context.run_config,
            job=self._context.reconstructable_job,
            retries=RetryMode.ENABLED,
            known_state=self._active.get_known_state(),
            repository_load_data=self._plan.repository_load_data,
        )
        name = f"{self._context.dagster_run.run_id}-{step.key}-{uuid.uuid4().hex}"
        self._futures[step.key] = self._client.submit(run_step, sent, key=name, pure=False)

    def _finish(self, key: str, future: Any) -> Iterator[DagsterEvent]:
        step = self._active.get_step_by_key(key)
        if future.status in ("cancelled", "lost"):
            if self._sends[key] < _SENDS:
                yield self._say("The scheduler forgot the step, it is sent again", step)
                self._send(step)
                return
            yield from self._broke(step, f"the scheduler forgot the step {_SENDS} times")
        elif future.status == "error":
            try:
                future.result()
            except Exception as error:
                lost = type(error).__name__ == "KilledWorker"
                say = f"{_SENDS + 1} workers in a row were lost under the step" if lost else ""
                yield from self._broke(step, say, serializable_error_info_from_exc_info(sys.exc_info()))
        else:
            yield from self._take(step, future.result())
        self._active.verify_complete(self._context, key)

    def _take(self, step: ExecutionStep, outcome: Any) -> Iterator[DagsterEvent]:
        for event in outcome.events:
            yield event
            self._active.handle_event(event)
            if event.is_resource_init_failure:
                yield from self._broke(step, "", event.engine_event_data.error)
        if outcome.exit_code is not None:
            end = f"its process {outcome.pid} on {outcome.host} ended with exit code {outcome.exit_code}"
            yield from self._broke(step, end)
        elif outcome.error is not None:
            self._errors.append(outcome.error)

    def _broke(
        self, step: ExecutionStep, why: str, error: SerializableErrorInfo | None = None
    ) -> Iterator[DagsterEvent]:
        """Fail the step, or have it tried again as its retry policy says."""
        found = error or SerializableErrorInfo(f"step {step.key}: {why}\n", [], None)
        yield self._say(f"The step broke: {why or found.message}", step, found)
        event = self._context.executor.log_failure_or_retry_event_after_error(
            self._context.for_step(step), found, self._active.get_known_state()
        )
        yield event
        self._active.handle_event(event)

    def _look_at_workers(self) -> Iterator[DagsterEvent]:
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        try:
            found = self._client.scheduler_info(n_workers=-1).get("workers")
        except OSError:
            found = None
        if found is None:  # the connection is lost; Dask tries to connect again, then closes
            if self._client.status == "closed":
                raise PtolemyError(
                    "the scheduler went away: start it again, then run this again: it resumes where it stopped"
                )
            self._slots = 0
            return
        self._slots = sum(worker["nthreads"] for worker in found.values())
        now = {address: str(worker["name"]) for address, worker in found.items()}
        before = self._workers
        self._workers = now
        if before is None or bool(before) != bool(now):
            text = (
                f"Workers: {', '.join(sorted(now.values()))}" if now else "No worker: waiting for one to join"
            )
            yield self._say(f"{text} (scheduler {self._client.scheduler.address})")
        if before:
            for address in before.keys() - now.keys():
                yield self._say(f"Worker {before[address]} left or was lost: its steps run elsewhere")
            for address in now.keys() - before.keys():
                yield self._say(f"Worker {now[address]} joined")

    def _say(
        self, text: str, step: ExecutionStep | None = None, error: SerializableErrorInfo | None = None
    ) -> DagsterEvent:
        context: Any = self._context.for_step(step) if step else self._context
        data = EngineEventData.engine_error(error) if error else EngineEventData()
        return DagsterEvent.engine_event(context, text, data)
