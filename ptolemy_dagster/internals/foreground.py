"""Executing a job in this process, as `dagster job execute` does, with an answer for the command that waits.

The run comes from the code location that the web UI and the daemon load, so it is among its job's runs there.
"""

import os
import socket

# each run imports these three, and with them what `deferred` leaves out
import dagster._core.definitions.definitions_load_context
import dagster._core.workspace.autodiscovery
import dagster._utils.test.definitions  # noqa: F401
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._utils.interrupts import capture_interrupts

from ptolemy_core.errors import PtolemyError
from ptolemy_dagster.execute import Answer, Request
from ptolemy_dagster.failures import tag_reason
from ptolemy_dagster.home import LOCATION
from ptolemy_dagster.instance import open_instance
from ptolemy_dagster.liveness import HOST_TAG, PID_TAG
from ptolemy_dagster.outcome import LAUNCH_TAG, answer_of
from ptolemy_dagster.partitions import register
from ptolemy_dagster.run_facts import PARTITION_TAG

_RETRIES = "dagster/max_retries"
"""A run that a person waits for is run again by that person, not by the daemon."""


def execute(request: Request) -> None:
    """Execute a run to its end and tell of it. SIGINT and SIGTERM stop it."""
    tags = {
        PARTITION_TAG: request.project,
        LAUNCH_TAG: request.launch,
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(request.command),
        _RETRIES: "0",
    }
    with capture_interrupts():
        try:
            instance = open_instance()
            register(instance, request.project)  # a catalog may be older than this Dagster home
        except PtolemyError as error:
            Answer(ended=True, reasons=[str(error)], codes=[error.code]).write(request.answer)
            return
        repository = ReconstructableRepository.for_module("ptolemy_dagster.definitions", "defs", os.getcwd())
        job = repository.get_reconstructable_job(request.job)
        Answer(began=True).write(request.answer)
        run = instance.create_run_for_job(
            job.get_definition(),
            run_config=dict(request.config),
            tags=tags,
            remote_job_origin=_origin(repository.get_definition().name, request.job),
            job_code_origin=job.get_python_origin(),
        )
        execute_run(job, run, instance, raise_on_error=False)
        answer = answer_of(instance, run.run_id)
        answer.write(request.answer)
        if answer.reasons:
            tag_reason(instance, run.run_id, answer.reasons[0])


def _origin(repository: str, job: str) -> RemoteJobOrigin:
    """Where the web UI has this job."""
    return RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), repository), job)
