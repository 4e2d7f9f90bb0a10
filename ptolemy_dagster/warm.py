"""A run's process that is forked from a command at its start, and imports the pipeline while the command makes ready.

It shares what both import with the command. It imports the rest as soon as there seems to be something to do, and
waits until it is told what to run: so a run begins as soon as the command knows that there is one. A command that
needs no run ends it again; nothing has begun then.
"""

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

COMMANDS = frozenset({"scan", "containerize", "blitz", "run", "verify", "root"})
"""Commands that run a job."""

_WANTS_NO_RUN = frozenset({"-h", "--help", "--dry-run"})
_MESSAGE = 1 << 20
_EXPECT = b"e"
_POLL = 0.02


class Process(Protocol):
    """A run's process, as the command that waits for it sees it: the part of `subprocess.Popen` that is used."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal."""


class Forked:
    """A forked process; its exit code is read once, as `subprocess.Popen` does."""

    def __init__(self, pid: int) -> None:
        """`pid`: a child of this process."""
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if timeout is None:
            code = self._wait(0)
        elif (code := self.poll()) is None:
            self._until_ended(timeout)
            code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("a run", timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _until_ended(self, timeout: float) -> None:
        """Wait for its end, so many seconds at most."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not on every system
            end = time.monotonic() + timeout
            while self.poll() is None and time.monotonic() < end:
                time.sleep(_POLL)
            return
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Warm:
    """The process that waits for a command's run, the socket by which it is told, and whether it makes ready."""

    process: Forked
    line: socket.socket
    is_told: bool = False


_waiting: list[Warm] = []
"""The one that waits, if there is one."""


def start(arguments: list[str]) -> socket.socket | None:
    """Fork the run's process of a command, if that one runs a job.

    Returns:
        in the run's process its end of the line, for `expected` and `asked`; in the command None.
    """
    if not COMMANDS.intersection(arguments[:1]) or _WANTS_NO_RUN.intersection(arguments):
        return None
    with suppress(Exception):  # the command meets it too, and tells of it
        _import_shared()
        ours, its = socket.socketpair()
        pid = os.fork()
        if not pid:
            ours.close()
            os.setsid()  # a terminal's Ctrl-C and hang-up reach it through the command, once
            _no_streams()
            return its
        its.close()
        _waiting.append(Warm(Forked(pid), ours))
    return None


def waits() -> bool:
    """Whether a process waits for this command."""
    return bool(_waiting)


def expect() -> None:
    """Tell the waiting process, if there is one, that it will probably be asked for a run."""
    if _waiting and not _waiting[0].is_told:
        with suppress(OSError):  # it was killed
            _waiting[0].line.sendall(_EXPECT)
        _waiting[0] = replace(_waiting[0], is_told=True)


def expected(line: socket.socket) -> bool:
    """Wait until a run seems likely; false if the command has ended."""
    return bool(line.recv(len(_EXPECT)))


def ask(request: str, descriptors: list[int]) -> Forked | None:
    """Have the waiting process run something; None if there is no such process.

    Args:
        request: what `asked` returns there.
        descriptors: the log's, and that of the answer.
    """
    if not _waiting:
        return None
    expect()
    warm = _waiting.pop()
    with warm.line:
        try:
            socket.send_fds(warm.line, [len(request).to_bytes(4, "big")], descriptors)
            warm.line.sendall(request.encode("ascii"))
        except OSError:  # it was killed
            _end(warm.process)
            return None
    return warm.process


def asked(line: socket.socket) -> tuple[str, int, int] | None:
    """Wait for the command to ask for a run: the request, and descriptors of log and answer; None if it doesn't."""
    with line:
        head, descriptors, _, _ = socket.recv_fds(line, 4, 2)
        if len(head) < 4:
            return None
        text = b""
        while len(text) < int.from_bytes(head, "big"):
            more = line.recv(_MESSAGE)
            if not more:
                return None
            text += more
    return text.decode(), descriptors[0], descriptors[1]


def stop() -> None:
    """End the process that waits: there is nothing to run."""
    while _waiting:
        warm = _waiting.pop()
        warm.line.close()
        _end(warm.process)


def _end(process: Forked) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _import_shared() -> None:
    """What a command and its run both need."""
    import sqlalchemy  # noqa: F401

    import ptolemy_core.stages.blitz
    import ptolemy_core.stages.containerize
    import ptolemy_core.stages.scan  # noqa: F401


def _no_streams() -> None:
    """Nothing is read, and nothing printed before the log is known."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
