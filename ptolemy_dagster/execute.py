"""A run's process, of a command that waits for it: forked by it (see `warm`), or `python -m ptolemy_dagster.execute
REQUEST`.

It tells the command what became of the run, so that the command needs no Dagster. Imports come late, so that the
process which steps are forked from has them too: it is forked from a warm run's process after its imports, and
started before those of another one.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ptolemy_core.garbage import collect_seldom, imports_kept
from ptolemy_dagster import warm
from ptolemy_dagster.attached import end_with_command


@dataclass(frozen=True, slots=True)
class Request:
    """What a command asks for.

    Attributes:
        job, project: the job's name, and the partition.
        launch: a name of this launch that no other has.
        command: the command's process.
        answer: descriptor of the file that the answer is written to.
        forks: whether steps are expected to need processes of their own.
        config: the run's configuration.
    """

    job: str
    project: str
    launch: str
    command: int
    answer: int
    forks: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """As the process takes it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run's process says of it.

    Attributes:
        began: whether there may be a run.
        ended: whether all below is known.
        run_id: the run's.
        ok: whether it succeeded.
        reasons, codes: why it failed, and the codes of its errors.
    """

    began: bool = False
    ended: bool = False
    run_id: str | None = None
    ok: bool = False
    reasons: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def write(self, descriptor: int) -> None:
        """Put it into the answer's file, in place of an earlier one."""
        text = json.dumps(asdict(self)).encode()
        os.ftruncate(descriptor, 0)
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, text[written:], written)


def read_answer(descriptor: int) -> Answer:
    """What the process has said so far; an empty answer if nothing, or if it died while it said it."""
    size = os.fstat(descriptor).st_size
    try:
        return Answer(**json.loads(os.pread(descriptor, size, 0)))
    except ValueError:
        return Answer()


def main() -> None:
    """Execute the run that is asked for."""
    request = Request(**json.loads(sys.argv[1]))
    end_with_command(request.command)
    if request.forks:
        from ptolemy_dagster.internals import forkserver

        forkserver.start()
    _import()
    _execute(request)


def execute_when_asked(line: socket.socket) -> None:
    """In a forked process: import the pipeline when a run seems likely, and execute the one that is asked for."""
    if not warm.expected(line):
        return
    failed: Exception | None = None
    try:
        _import()
    except Exception as error:  # it is told in the log
        failed = error
    found = warm.asked(line)
    if found is None:
        return
    text, log, answer = found
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    if failed is not None:
        raise failed
    request = replace(Request(**json.loads(text)), answer=answer)
    sys.modules["__main__"] = sys.modules[__name__]  # which steps' processes import: not the command
    if request.forks:
        from ptolemy_dagster.internals import forkserver

        forkserver.fork()  # before there are threads
    end_with_command(request.command)
    _execute(request)


def _import() -> None:
    """Import the pipeline."""
    from ptolemy_dagster.internals.decoration import undecorated
    from ptolemy_dagster.internals.deferred import deferred

    with imports_kept(), undecorated(), deferred():
        import ptolemy_dagster.definitions
        import ptolemy_dagster.internals.foreground
        import ptolemy_dagster.storage  # noqa: F401 named in dagster.yaml


def _execute(request: Request) -> None:
    from ptolemy_dagster.internals.foreground import execute

    collect_seldom()
    execute(request)


if __name__ == "__main__":
    main()
