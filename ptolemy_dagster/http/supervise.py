"""Processes that the API's server keeps running beside itself: Dagster's webserver and its daemon.

Each holds a file lock of its own in Dagster's home as long as it lives, whoever started it. So two servers of one
home share one of each; a server that was killed leaves them running, and the next one ends them and starts its own.
Runs continue when these processes end: each run is its own process.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from ptolemy_core.errors import BusyError
from ptolemy_dagster.alive import process_exists
from ptolemy_dagster.http.settings import TOKEN_VARIABLE
from ptolemy_dagster.instance import log_folder

_STOP_SECONDS = 15.0
_RESTART_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of the last process: its id, its server's id, where it listens, and when it ended, if it did."""

    pid: int
    server: int
    url: str
    ended: float | None = None


class Child:
    """One of the processes; `tick` sees that it runs, here or under another server."""

    def __init__(
        self,
        name: str,
        folder: str,
        command: Sequence[str] = (),
        wanted: Callable[[float], bool] | None = None,
    ) -> None:
        """Describe a process; nothing is started yet.

        Args:
            name: of its lock and log.
            folder: Dagster's home.
            command: that starts it; `run_as` may say it later.
            wanted: asked before it is started, with the time when the last one ended (0: not known); by default
                it always is.
        """
        self.name = name
        self.log = os.path.join(log_folder(), f"{name}.log")
        self._lock = os.path.join(folder, f"{name}.lock")
        self._command = list(command)
        self._url = ""
        self._told = b""
        self._wanted = wanted or (lambda _: True)
        self._process: subprocess.Popen[bytes] | None = None
        self._next_start = 0.0
        self._ended_orphan = False

    @property
    def is_ours(self) -> bool:
        """Whether the process is this server's and runs."""
        return self._process is not None and self._process.poll() is None

    def tick(self) -> bool:
        """Start the process if nobody runs it and it is wanted; whether this call started it."""
        if self.is_ours or time.monotonic() < self._next_start:
            return False
        if self._process is not None:
            self._note_end()
            self._process = None
            self._next_start = (
                time.monotonic() + _RESTART_SECONDS
            )  # one that fails at once isn't tried in a loop
            return False
        return self._start()

    def of_other_server(self, patience: float) -> Note | None:
        """The process of another live server; None if none has one. One left behind is ended first.

        Args:
            patience: seconds to wait for that.

        Raises:
            BusyError: it doesn't end.
        """
        deadline = time.monotonic() + patience
        while True:
            with open(self._lock, "a+", encoding="utf-8") as file:
                if _take(file.fileno()):
                    return None
            note = self._note()
            if note is not None and process_exists(note.server):
                return note
            self._end_orphan()
            if time.monotonic() > deadline:
                raise BusyError(f"the {self.name} of an earlier server doesn't end: end it, then try again")
            time.sleep(0.2)

    def run_as(self, command: Sequence[str], url: str, told: bytes = b"") -> None:
        """Say what starts the process, where it will listen, and what it is told on its standard input.

        What is secret belongs there: arguments are seen by all users of a machine, and environments are inherited.
        """
        self._command, self._url, self._told = list(command), url, told

    def _start(self) -> bool:
        with open(self._lock, "a+", encoding="utf-8") as file:
            if not _take(file.fileno()):
                self._end_orphan()
                return False
            last = self._note()
            ended = time.time() if self._ended_orphan else (last.ended if last else None)
            if not self._wanted(ended or 0.0):
                return False
            self._ended_orphan = False
            environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
            with open(self.log, "ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the server, which then ends its children
                    pass_fds=[file.fileno()],  # the lock lives as long as the process
                )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError), self._process.stdin as stdin:
                stdin.write(self._told)
        self._write(Note(self._process.pid, os.getpid(), self._url))
        return True

    def _note(self) -> Note | None:
        with suppress(OSError, ValueError, TypeError), open(self._lock, encoding="utf-8") as file:
            return Note(**json.load(file))
        return None

    def _write(self, note: Note) -> None:
        with open(self._lock, "w", encoding="utf-8") as file:
            json.dump(asdict(note), file)

    def _note_end(self) -> None:
        note = self._note()
        if note is not None:
            self._write(replace(note, ended=time.time()))

    def _end_orphan(self) -> None:
        """End the process of a server that was killed; another live server keeps its own."""
        note = self._note()
        if note is not None and not process_exists(note.server):
            self._ended_orphan = True
            with suppress(ProcessLookupError, PermissionError):
                os.kill(note.pid, signal.SIGTERM)

    def stop(self) -> None:
        """End the process, if it is ours."""
        if self._process is None or not self.is_ours:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._note_end()


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
