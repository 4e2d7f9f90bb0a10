"""The stack that is killed: code server, daemon and webserver, kept up as a service manager would."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.pipeline.backend import Backend
from tests.pipeline.postgres import free_port

_MARK = "PTOLEMY_CHAOS_STACK"
_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_TERMINATE = """
mutation ($run: String!) {
  terminateRun(runId: $run) { __typename ... on PythonError { message } ... on TerminateRunFailure { message } }
}
"""


class Stack:
    """Processes of a deployment on one machine; `keep()` starts again what has ended."""

    def __init__(self, backend: Backend, module: str = "tests.chaos.definitions") -> None:
        self._backend = backend
        self._env = dict(backend.env)
        self._env[_MARK] = uuid.uuid4().hex
        code, self._port = free_port(), free_port()
        workspace = backend.root / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code}, location_name: ptolemy}}\n"
        )
        place = ["-w", str(workspace)]
        self._commands = {
            "code server": ["dagster", "api", "grpc", "-m", module, "-h", "127.0.0.1", "-p", str(code)],
            "daemon": ["dagster._daemon", "run", *place],
            "webserver": ["dagster_webserver", *place, "-h", "127.0.0.1", "-p", str(self._port)],
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def keep(self) -> None:
        """Start what isn't running."""
        for name, command in self._commands.items():
            process = self._running.get(name)
            if process is None or process.poll() is not None:
                with open(self._backend.root / f"{name}.log", "ab") as log:
                    self._running[name] = subprocess.Popen(
                        [sys.executable, "-m", *command],
                        env=self._env,
                        cwd=self._backend.root,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )

    def kill(self, name: str) -> int:
        """kill -9 one of them, alone; its children live on."""
        process = self._running[name]
        process.kill()
        process.wait()
        return process.pid

    def mine(self) -> dict[int, str]:
        """Processes of this stack, by a mark in their environment, and their command lines."""
        mark = f"{_MARK}={self._env[_MARK]}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        line = (entry / "cmdline").read_bytes()
                        found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
        return found

    def end(self) -> None:
        """kill -9 all of them, with all that they started."""
        for _ in range(3):
            for pid in self.mine():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._running.values():
                process.wait()
            time.sleep(0.1)
        self._running.clear()

    def launch(self, job: str, project: str) -> str:
        """Launch a job on a project's partition, as the web UI does; returns the run's id."""
        params = {
            "selector": {
                "repositoryLocationName": "ptolemy",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": project}]},
        }
        end = time.monotonic() + 180
        while True:
            self.keep()
            try:
                answer = self._post(_LAUNCH, params=params)["launchRun"]
                if answer["__typename"] == "LaunchRunSuccess":
                    return str(answer["run"]["runId"])
            except (OSError, KeyError, TypeError, ValueError) as error:
                answer = error
            assert time.monotonic() < end, f"no launch: {answer}"
            time.sleep(0.5)

    def terminate(self, run_id: str) -> Any:
        """Cancel a run, as the web UI does."""
        return self._post(_TERMINATE, run=run_id)

    def _post(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self._port}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["data"]


@contextmanager
def running(backend: Backend) -> Iterator[Stack]:
    """A stack that runs while the block lasts."""
    stack = Stack(backend)
    try:
        stack.keep()
        yield stack
    finally:
        stack.end()
