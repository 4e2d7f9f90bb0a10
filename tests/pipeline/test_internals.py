"""Dagster's private names: only ptolemy_dagster/internals uses them, and each is still as it is used there.

After an upgrade of Dagster the failures here say what is gone or changed, and in which file it is used.
"""

import ast
import importlib
import inspect
from collections import defaultdict
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

ROOT = Path(__file__).parents[2]
INTERNALS = ROOT / "ptolemy_dagster" / "internals"
PRIVATE = ("dagster._", "dagster_postgres.", "dagster_shared.")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "dagster._core.definitions.definitions_load_context": (),
    "dagster._core.workspace.autodiscovery": (),
    "dagster._utils.test.definitions": (),
    "dagster._core.definitions.reconstruct.ReconstructableJob": (),
    "dagster._core.definitions.reconstruct.ReconstructableRepository": (
        "for_module",
        "get_definition",
        "get_reconstructable_job",
    ),
    "dagster._core.definitions.unresolved_asset_job_definition.UnresolvedAssetJobDefinition": (),
    "dagster._core.errors.DagsterExecutionInterruptedError": (),
    "dagster._core.errors.DagsterSubprocessError": (),
    "dagster._core.events.DagsterEvent": (
        "asset_materialization",
        "engine_event",
        "engine_event_data",
        "is_resource_init_failure",
    ),
    "dagster._core.events.DagsterEventBatchMetadata": (),
    "dagster._core.events.EngineEventData": ("engine_error", "interrupted", "error"),
    "dagster._core.execution.api.execute_run": (),
    "dagster._core.remote_origin.RegisteredCodeLocationOrigin": (),
    "dagster._core.remote_origin.RemoteJobOrigin": (),
    "dagster._core.remote_origin.RemoteRepositoryOrigin": (),
    "dagster._core.execution.context.system.PlanOrchestrationContext": (
        "dagster_run",
        "executor",
        "for_step",
        "instance",
        "job",
        "reconstructable_job",
        "run_config",
        "run_id",
    ),
    "dagster._core.execution.context.system.PlanExecutionContext": ("for_step",),
    "dagster._core.execution.context_creation_job.PlanExecutionContextManager": (
        "get_context",
        "prepare_context",
        "shutdown_context",
    ),
    "dagster._core.execution.plan.execute_plan._trigger_hook": (),
    "dagster._core.execution.plan.execute_plan.dagster_event_sequence_for_step": (),
    "dagster._core.executor.multiprocess.execute_step_out_of_process": (),
    "dagster._utils.interrupts.capture_interrupts": (),
    "dagster._core.execution.plan.active.ActiveExecution": (
        "check_for_interrupts",
        "concurrency_event_iterator",
        "get_known_state",
        "get_step_by_key",
        "get_steps_to_execute",
        "handle_event",
        "is_complete",
        "mark_interrupted",
        "plan_events_iterator",
        "verify_complete",
    ),
    "dagster._core.execution.plan.instance_concurrency_context.InstanceConcurrencyContext": (
        "__enter__",
        "__exit__",
    ),
    "dagster._core.execution.plan.plan.ExecutionPlan": ("repository_load_data",),
    "dagster._core.execution.plan.state.KnownExecutionState": (),
    "dagster._core.execution.plan.step.ExecutionStep": ("key",),
    "dagster._core.execution.retries.RetryMode": ("ENABLED",),
    "dagster._core.executor.base.Executor": (
        "execute",
        "log_failure_or_retry_event_after_error",
        "retries",
        "step_dependency_config",
    ),
    "dagster._core.executor.child_process_executor.ChildProcessCrashException": ("exit_code",),
    "dagster._core.executor.child_process_executor.ChildProcessSystemErrorEvent": ("error_info",),
    "dagster._core.executor.child_process_executor.execute_child_process_command": (),
    "dagster._core.executor.multiprocess.MultiprocessExecutorChildProcessCommand": ("execute",),
    "dagster._core.launcher.CheckRunHealthResult": (),
    "dagster._core.launcher.DefaultRunLauncher": (
        "check_run_worker_health",
        "supports_check_run_worker_health",
    ),
    "dagster._core.launcher.WorkerStatus": ("NOT_FOUND", "RUNNING"),
    "dagster._core.storage.base_storage.DagsterStorage": (),
    "dagster._core.storage.compute_log_manager.CapturedLogContext": (),
    "dagster._core.storage.compute_log_manager.ComputeIOType": ("STDERR", "STDOUT"),
    "dagster._core.storage.event_log.SqliteEventLogStorage": (
        "_base_dir",
        "_connect",
        "_db_lock",
        "_initdb",
        "has_table",
        "_store_asset_event",
        "_store_asset_event_tags",
        "index_transaction",
        "prepare_insert_event",
        "path_for_shard",
        "prepare_insert_event_batch",
        "run_connection",
        "store_event_batch",
        "wipe",
    ),
    "dagster._core.storage.legacy_storage": (),
    "dagster._core.storage.local_compute_log_manager.IO_TYPE_EXTENSION": (),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager": (
        "capture_logs",
        "complete_artifact_path",
        "get_captured_local_path",
    ),
    "dagster._core.storage.runs.sqlite.sqlite_run_storage": ("__file__",),
    "dagster._core.storage.runs.sqlite.sqlite_run_storage.SqliteRunStorage": ("connect", "dispose"),
    "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage.SqliteScheduleStorage": (
        "connect",
        "dispose",
    ),
    "dagster._core.storage.sql.get_alembic_config": (),
    "dagster._core.storage.sqlite_storage": (),
    "dagster._core.storage.sqlite_storage.DagsterSqliteStorage": (
        "_event_log_storage",
        "_inst_data",
        "_run_storage",
        "_schedule_storage",
        "base_dir",
        "from_local",
    ),
    "dagster._core.workspace.context": (),
    "dagster._core.workspace.context.WorkspaceProcessContext": ("__enter__", "__exit__"),
    "dagster._core.workspace.load_target.WorkspaceFileTarget": (),
    "dagster._serdes.ConfigurableClassData": ("rehydrate",),
    "dagster._utils.error.serializable_error_info_from_exc_info": (),
    "dagster._utils.interrupts.setup_interrupt_handlers": (),
    "dagster_postgres.event_log.PostgresEventLogStorage": (
        "_connect",
        "_engine",
        "dispose",
        "optimize_for_webserver",
        "postgres_url",
        "store_event",
        "store_event_batch",
    ),
    "dagster_postgres.run_storage.PostgresRunStorage": (
        "_engine",
        "connect",
        "optimize_for_webserver",
        "postgres_url",
    ),
    "dagster_postgres.schedule_storage.PostgresScheduleStorage": (
        "_engine",
        "connect",
        "optimize_for_webserver",
        "postgres_url",
    ),
    "dagster_shared.error.SerializableErrorInfo": ("message", "to_string"),
}
"""Each private name that is imported, and what is used or overridden of it."""

CALLS: dict[str, tuple[int, tuple[str, ...]]] = {
    "dagster._core.definitions.reconstruct.ReconstructableRepository.get_reconstructable_job": (2, ()),
    "dagster._core.execution.context_creation_job.PlanExecutionContextManager": (
        0,
        ("job", "execution_plan", "run_config", "dagster_run", "instance", "retry_mode"),
    ),
    "dagster._core.execution.plan.execute_plan._trigger_hook": (2, ()),
    "dagster._core.execution.plan.execute_plan.dagster_event_sequence_for_step": (1, ()),
    "dagster._core.executor.multiprocess.execute_step_out_of_process": (10, ()),
    "dagster._utils.interrupts.capture_interrupts": (0, ()),
    "dagster._core.definitions.reconstruct.ReconstructableRepository.for_module": (2, ()),
    "dagster._core.errors.DagsterSubprocessError": (1, ("subprocess_error_infos",)),
    "dagster._core.events.DagsterEvent.asset_materialization": (3, ()),
    "dagster._core.events.DagsterEvent.engine_event": (3, ()),
    "dagster._core.events.DagsterEventBatchMetadata": (2, ()),
    "dagster._core.events.EngineEventData": (0, ()),
    "dagster._core.events.EngineEventData.engine_error": (1, ()),
    "dagster._core.events.EngineEventData.interrupted": (1, ()),
    "dagster._core.execution.plan.active.ActiveExecution": (
        1,
        ("retry_mode", "instance_concurrency_context", "max_concurrent", "step_dependency_config"),
    ),
    "dagster._core.execution.plan.active.ActiveExecution.get_steps_to_execute": (2, ()),
    "dagster._core.execution.plan.active.ActiveExecution.handle_event": (2, ()),
    "dagster._core.execution.plan.active.ActiveExecution.verify_complete": (3, ()),
    "dagster._core.execution.plan.instance_concurrency_context.InstanceConcurrencyContext": (2, ()),
    "dagster._core.executor.base.Executor.execute": (3, ()),
    "dagster._core.executor.base.Executor.log_failure_or_retry_event_after_error": (4, ()),
    "dagster._core.executor.child_process_executor.execute_child_process_command": (2, ()),
    "dagster._core.executor.multiprocess.MultiprocessExecutorChildProcessCommand": (
        0,
        (
            "run_config",
            "dagster_run",
            "step_key",
            "instance_ref",
            "term_event",
            "recon_pipeline",
            "retry_mode",
            "known_state",
            "repository_load_data",
        ),
    ),
    "dagster._core.launcher.CheckRunHealthResult": (2, ()),
    "dagster._core.launcher.DefaultRunLauncher.check_run_worker_health": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage": (1, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage._connect": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage._initdb": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage.path_for_shard": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage._store_asset_event": (4, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage._store_asset_event_tags": (4, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage.prepare_insert_event": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage.prepare_insert_event_batch": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage.run_connection": (2, ()),
    "dagster._core.storage.event_log.SqliteEventLogStorage.store_event_batch": (2, ()),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager": (1, ("inst_data",)),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager.capture_logs": (2, ()),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager.complete_artifact_path": (2, ()),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager.get_captured_local_path": (
        3,
        (),
    ),
    "dagster._core.storage.runs.sqlite.sqlite_run_storage.SqliteRunStorage": (1, ()),
    "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage.SqliteScheduleStorage": (1, ()),
    "dagster._core.storage.sql.get_alembic_config": (1, ()),
    "dagster._core.storage.sqlite_storage.DagsterSqliteStorage": (2, ()),
    "dagster._core.storage.sqlite_storage.DagsterSqliteStorage.from_local": (2, ()),
    "dagster._core.workspace.context.WorkspaceProcessContext": (2, ("version",)),
    "dagster._core.workspace.load_target.WorkspaceFileTarget": (1, ()),
    "dagster._utils.error.serializable_error_info_from_exc_info": (1, ()),
    "dagster._utils.interrupts.setup_interrupt_handlers": (0, ()),
    "dagster_postgres.event_log.PostgresEventLogStorage": (1, ("should_autocreate_tables",)),
    "dagster_postgres.event_log.PostgresEventLogStorage.optimize_for_webserver": (4, ()),
    "dagster_postgres.event_log.PostgresEventLogStorage.store_event": (2, ()),
    "dagster_postgres.event_log.PostgresEventLogStorage.store_event_batch": (2, ()),
    "dagster_postgres.run_storage.PostgresRunStorage": (1, ("should_autocreate_tables",)),
    "dagster_postgres.run_storage.PostgresRunStorage.optimize_for_webserver": (4, ()),
    "dagster_postgres.schedule_storage.PostgresScheduleStorage": (1, ("should_autocreate_tables",)),
    "dagster_postgres.schedule_storage.PostgresScheduleStorage.connect": (2, ()),
    "dagster_postgres.schedule_storage.PostgresScheduleStorage.optimize_for_webserver": (4, ()),
    "dagster_shared.error.SerializableErrorInfo": (3, ()),
}
"""How they are called: with how many arguments by place (`self` counted where it is a method), and which by name."""


def imported() -> dict[str, list[str]]:
    """Private names that internals/ imports, with the files that do."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(INTERNALS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                module = name.rpartition(".")[0] if isinstance(node, ast.ImportFrom) else name
                if f"{module}.".startswith(PRIVATE) and module not in ("dagster_postgres", "dagster_shared"):
                    found[name].append(f"ptolemy_dagster/internals/{path.name}")
    return dict(found)


USERS = imported()


def fetched(name: str) -> Any:
    """The object of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        owner, _, attribute = name.rpartition(".")
        return getattr(fetched(owner), attribute)


def said(name: str, what: str) -> str:
    users = next(
        (files for known, files in USERS.items() if name == known or name.startswith(f"{known}.")), []
    )
    return f"{name} {what} in Dagster {dg.__version__}; it is used in {', '.join(users)}"


def test_no_other_module_uses_a_private_name_of_dagster() -> None:
    for path in (ROOT / "ptolemy_dagster").rglob("*.py"):
        if path.parent == INTERNALS:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}."]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value]
            for name in names:
                assert not name.startswith("dagster._"), f"{path.relative_to(ROOT)}: {name}"


def test_each_private_name_that_is_imported_is_listed_here() -> None:
    assert sorted(USERS) == sorted(ATTRIBUTES)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_private_name_and_what_is_used_of_it_are_still_there(name: str) -> None:
    try:
        found = fetched(name)
    except (AttributeError, ModuleNotFoundError):
        pytest.fail(said(name, "is gone"))
    fields = {key for kind in getattr(found, "__mro__", ()) for key in getattr(kind, "__annotations__", {})}
    for attribute in ATTRIBUTES[name]:
        there = hasattr(found, attribute) or attribute in fields or _is_set_in(found, attribute)
        assert there, said(f"{name}.{attribute}", "is gone")


def _is_set_in(kind: type, attribute: str) -> bool:
    """Whether a method of the class sets the attribute on its instances."""
    sources = (inspect.getsource(one) for one in kind.__mro__ if one.__module__.startswith("dagster"))
    return any(f"self.{attribute} = " in source or f"self.{attribute}: " in source for source in sources)


@pytest.mark.parametrize("name", CALLS)
def test_a_private_name_can_still_be_called_as_it_is(name: str) -> None:
    places, names = CALLS[name]
    found = inspect.signature(fetched(name))
    try:
        found.bind(*range(places), **dict.fromkeys(names))
    except TypeError as error:
        pytest.fail(said(name, f"can't be called as it is ({error}; now {found})"))


def test_what_is_called_is_listed_with_its_owner() -> None:
    for name in CALLS:
        owner, _, attribute = name.rpartition(".")
        assert name in ATTRIBUTES or attribute in ATTRIBUTES[owner], name


def test_an_executor_still_says_what_it_requires() -> None:
    assert callable(dg.multiprocess_executor._requirements_fn)


def test_the_step_process_still_preloads_modules_that_are_there() -> None:
    from ptolemy_dagster.internals.forkserver import PRELOAD

    for module in PRELOAD:
        assert importlib.util.find_spec(module), said(module, "is gone")


def test_the_storage_is_still_found_under_the_names_of_existing_homes() -> None:
    from ptolemy_dagster.internals.storage import PtolemyStorage
    from ptolemy_dagster.liveness import PtolemyRunLauncher

    assert fetched("ptolemy_dagster.storage").PtolemyStorage is PtolemyStorage
    assert issubclass(PtolemyRunLauncher, dg.DefaultRunLauncher)
