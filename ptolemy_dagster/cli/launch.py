"""Running a stage's Dagster job in the foreground, as `dagster job execute` does, and showing its progress.

The job runs in a process of its own; what it has done is read from the catalog. So any run is in the web
UI, and any way of starting one shows the same progress.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import dagster as dg
from rich.progress import Progress, TaskID

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.progress import Work
from ptolemy_core.errors import PtolemyError, UnavailableError
from ptolemy_core.interrupts import interruptible
from ptolemy_core.status.rate import blitz_progress, describe_task
from ptolemy_core.status.state import ProjectState, project_state
from ptolemy_dagster.cli import output
from ptolemy_dagster.failures import why_failed
from ptolemy_dagster.instance import log_folder, open_instance
from ptolemy_dagster.liveness import HOST_TAG, PID_TAG

_LAUNCH_TAG = "ptolemy/launch"
_POLL = 0.5
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
    tags = {
        "dagster/partition": project,
        _LAUNCH_TAG: launch,
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(os.getpid()),
    }
    command = [sys.executable, "-m", "ptolemy_dagster.attached", str(os.getpid())]
    command += ["job", "execute", "-m", "ptolemy_dagster.definitions"]
    command += ["-j", job, "--tags", json.dumps(tags)]
    if config:
        settings = os.path.join(log_folder(), f"{job}-{project}.config.yaml")
        with open(settings, "w", encoding="utf-8") as written:
            json.dump(config, written)  # JSON is YAML
        command += ["-c", settings]
    with open(log, "wb") as file, interruptible():
        # of a session of its own: a terminal's Ctrl-C and hang-up reach it through this process, once
        process = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _watch(process, catalog, job, project, quiet)
        except UnavailableError:
            process.wait()  # the run waits for the database too, and says more
        except BaseException:
            output.say("stopping; what is built stays built")
            _stop(process)
            _outcome(launch, process.returncode, log)
            raise
    return _outcome(launch, process.returncode, log)


def _stop(process: subprocess.Popen[bytes]) -> None:
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


def _outcome(launch: str, code: int, log: str) -> Outcome:
    instance = open_instance()
    runs = instance.get_runs(dg.RunsFilter(tags={_LAUNCH_TAG: launch}))
    if not runs:
        return Outcome(None, False, [f"the run could not be started: {_last_error(log)}"], log)
    run = runs[0]
    if code == 0 and run.status == dg.DagsterRunStatus.SUCCESS:
        return Outcome(run.run_id, True, [], log)
    if not run.is_finished:
        instance.report_run_failed(run, "its process ended before it did")
    why = why_failed(instance, run.run_id)
    return Outcome(run.run_id, False, why.reasons or [_last_error(log)], log, why.codes)


def _last_error(log: str) -> str:
    """The last error in a run's log, without its traceback."""
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - _LOG_TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    found = [match[1] for match in map(_ERROR.fullmatch, lines) if match]
    return found[-1] if found else f"see {log}"


def _watch(process: subprocess.Popen[bytes], catalog: Catalog, job: str, project: str, quiet: bool) -> None:
    if quiet:
        process.wait()
        return
    start = project_state(catalog, project)
    with output.byte_progress() as bars:
        scan = bars.add_task("scan", total=None, visible=False)
        build = bars.add_task("build", total=None, visible=False)
        verify = bars.add_task("verify", total=None, visible=False)
        wait = bars.add_task(f"{job} {project}: starting", total=None)
        while process.poll() is None:
            now = project_state(catalog, project)
            tasks = {task.task.work: task for task in now.tasks}
            if Work.SCAN in tasks:
                said = f"scanning: {describe_task(tasks[Work.SCAN])}"
                bars.update(scan, description=said, visible=True)
            _show_build(bars, build, start, now)
            if Work.VERIFY in tasks:
                task = tasks[Work.VERIFY]
                bars.update(
                    verify, description="verifying", completed=task.done, total=task.total, visible=True
                )
            counted = [tasks[work] for work in (Work.ROOT, Work.MANIFEST) if work in tasks]
            for task in counted:
                bars.update(wait, description=f"{task.task}: {task.done:,} entries", visible=True)
            if tasks and not counted:
                bars.update(wait, visible=False)
            time.sleep(_POLL)
        bars.update(wait, visible=False)
        if process.returncode == 0:
            _show_build(bars, build, start, project_state(catalog, project))
            bars.update(verify, completed=bars.tasks[verify].total or 0)


def _show_build(bars: Progress, bar: TaskID, start: ProjectState, now: ProjectState) -> None:
    """Bytes of CARs that this run has built and is building, of those it has to."""
    total = now.car_bytes - start.built_bytes
    done = blitz_progress(now).done - start.built_bytes
    if done > 0:
        what = f"building CARs, {now.built}/{now.containers} done"
        bars.update(bar, description=what, completed=min(done, total), total=total, visible=True)
