"""Executing a job in this process, as `dagster job execute` does, with an answer for the command that waits."""

import os
import socket

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._utils.interrupts import capture_interrupts

from ptolemy_core.errors import PtolemyError
from ptolemy_dagster.execute import Answer, Request
from ptolemy_dagster.instance import open_instance
from ptolemy_dagster.liveness import HOST_TAG, PID_TAG
from ptolemy_dagster.outcome import LAUNCH_TAG, answer_of
from ptolemy_dagster.partitions import register


def execute(request: Request) -> None:
    """Execute a run to its end and tell of it. SIGINT and SIGTERM stop it."""
    tags = {
        "dagster/partition": request.project,
        LAUNCH_TAG: request.launch,
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(request.command),
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
        with dg.execute_job(
            job, instance, run_config=dict(request.config), tags=tags, raise_on_error=False
        ) as result:
            run_id = result.run_id
        answer_of(instance, run_id).write(request.answer)
