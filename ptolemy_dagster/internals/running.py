"""What Dagster knows of running: how steps are retried, the launcher of runs, and what it says of their workers."""

from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.execution.retries import RetryMode
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

__all__ = [
    "AnyJob",
    "CheckRunHealthResult",
    "DefaultRunLauncher",
    "RetryMode",
    "WorkerStatus",
    "requirements_of",
]

AnyJob = dg.JobDefinition | UnresolvedAssetJobDefinition
"""What `dg.job` and `dg.define_asset_job` return."""


def requirements_of(executor: dg.ExecutorDefinition) -> Any:
    """What an executor asks of the instance and the job, as an ExecutorDefinition takes it."""
    return executor._requirements_fn
