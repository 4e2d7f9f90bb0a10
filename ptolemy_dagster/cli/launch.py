"""Running a stage's Dagster job in a process of its own, and showing its progress.

What the run has done is read from the catalog: so any run is in the web UI, and any way of starting one shows the
same progress. This process imports no Dagster; the run's own one says how it ended.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from ptolemy_core.catalog import Catalog
from ptolemy_core.errors import PtolemyError, UnavailableError
from ptolemy_core.interrupts import interruptible
from ptolemy_core.stages.order import UNTIL_OF_JOB, Stage
from ptolemy_core.status.state import project_state
from ptolemy_dagster import warm, weight
from ptolemy_dagster.cli import following, output
from ptolemy_dagster.execute import Answer, Request, read_answer
from ptolemy_dagster.home import log_folder
from ptolemy_dagster.machines.settings import SCHEDULER

_STOP_SECONDS = 30.0
"""Seconds that a run has to end when it is stopped."""
_LOG_TAIL = 65_536
_ERROR = re.compile(r"[\w.]*(?:Error|Exception): (.*)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its id, whether it succeeded, why it failed, where its log is, and the codes of its errors."""

    run_id: str | None
    ok: bool
    reasons: list[str]
    log: str
    codes: list[str] = field(default_factory=list)

    def error(self) -> "RunError":
        """What the command says of a run that failed."""
        return RunError("\n".join(self.reasons) + f"\n(run {self.run_id}, log {self.log})", self.codes)


class RunError(PtolemyError):
    """A run failed. Its code is that of the error it failed with, if all of its errors have the same one."""

    code = "run-failed"

    def __init__(self, message: str, codes: Sequence[str]) -> None:
        super().__init__(message)
        if len(set(codes)) == 1:
            self.code = codes[0]


def run_job(
    catalog: Catalog,
    job: str,
    project: str,
    *,
    quiet: bool = False,
    config: Mapping[str, object] | None = None,
) -> Outcome:
    """Run a job on a project's partition and wait for it.

    Ctrl-C, SIGTERM and SIGHUP stop it; the interrupt is raised again when it has ended.

    Args:
        catalog: that holds the project.
        job: its name.
        project: the partition.
        quiet: show no progress.
        config: the run's configuration.
    """
    log = os.path.join(log_folder(), f"{job}-{project}.log")
    launch = uuid.uuid4().hex
    with open(log, "wb") as file, tempfile.TemporaryFile(buffering=0) as told, interruptible():
        config = config or {}
        forks = _forks(catalog, job, project, config)
        request = Request(job, project, launch, os.getpid(), told.fileno(), forks, config)
        process: warm.Process = warm.ask(request.as_text(), [file.fileno(), told.fileno()]) or _started(
            request, file
        )
        try:
            run = following.RunProcess(process, lambda: read_answer(told.fileno()).ok)
            following.watch(run, catalog, job, project, quiet)
        except UnavailableError:
            process.wait()  # the run waits for the database too, and says more
        except BaseException:
            output.say("stopping; what is built stays built")
            _stop(process)
            _outcome(read_answer(told.fileno()), launch, log)
            raise
        return _outcome(read_answer(told.fileno()), launch, log)


def _started(request: Request, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """A new process of a run."""
    # of a session of its own: a terminal's Ctrl-C and hang-up reach it through this process, once
    return subprocess.Popen(
        [sys.executable, "-m", "ptolemy_dagster.execute", request.as_text()],
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        pass_fds=[request.answer],
        start_new_session=True,
    )


def _forks(catalog: Catalog, job: str, project: str, config: Mapping[str, object]) -> bool:
    """Whether steps of a job are expected to get processes of their own on this machine."""
    if os.environ.get(SCHEDULER):
        return False
    stages = UNTIL_OF_JOB[job].stages if job in UNTIL_OF_JOB else ()
    if Stage.BLITZ in stages and project_state(catalog, project).done != "blitz":
        return True
    try:
        if job == "verify":
            return bool(config) or not weight.reads_little(catalog, project)
        if job == "blitz" and not weight.builds_little(catalog, project):
            return True
        return not weight.has_few_entries(catalog, project)
    except (OSError, PtolemyError):  # the run meets it, and tells of it
        return False


def _stop(process: warm.Process) -> None:
    """End a run's process and those that it started; with force if they aren't done soon."""
    process.send_signal(signal.SIGTERM)  # SIGINT may be ignored: so it is in a shell's background
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _outcome(answer: Answer, launch: str, log: str) -> Outcome:
    if answer.began and not answer.ended:
        from ptolemy_dagster.outcome import answer_for_dead

        answer = answer_for_dead(launch)
    if answer.ok:
        return Outcome(answer.run_id, True, [], log)
    if answer.run_id is None:
        reasons = answer.reasons or [f"the run could not be started: {_last_error(log)}"]
        return Outcome(None, False, reasons, log, answer.codes)
    return Outcome(answer.run_id, False, answer.reasons or [_last_error(log)], log, answer.codes)


def _last_error(log: str) -> str:
    """The last error in a run's log, without its traceback."""
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - _LOG_TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    found = [match[1] for match in map(_ERROR.fullmatch, lines) if match]
    return found[-1] if found else f"see {log}"
