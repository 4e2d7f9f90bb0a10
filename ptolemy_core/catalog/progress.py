"""What long work has done so far, for whoever watches it from another process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ptolemy_core.catalog.outage import is_lost, survives_outage
from ptolemy_core.catalog.schema import progress as table
from ptolemy_core.catalog.store import Catalog

_INTERVAL = 1.0
"""Seconds between two writes of one task."""

STALE = 60.0
"""Seconds without a write after which a task isn't running any more: its process was killed."""


_TURN = "tell "
"""How keys begin of rows that aren't tasks: who told of work last, and when."""


class Work(StrEnum):
    """Kinds of long work."""

    SCAN = "scan"
    BUILD = "build"
    VERIFY = "verify"
    ROOT = "root"
    MANIFEST = "manifest"
    DELETE_SOURCE = "delete-source"
    FILE_SHA256 = "file-sha256"

    @property
    def unit(self) -> Literal["entries", "bytes"]:
        """What is counted of it."""
        return (
            "bytes" if self in (Work.BUILD, Work.VERIFY, Work.DELETE_SOURCE, Work.FILE_SHA256) else "entries"
        )


@dataclass(frozen=True, slots=True)
class Task:
    """Long work on a project: a kind, and of a build the number of its container."""

    work: Work
    container: int | None = None

    def __str__(self) -> str:
        return str(self.work) if self.container is None else f"{self.work} {self.container:06d}"


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task under way: done so far of a total (None: it isn't known), in the unit of its work."""

    task: Task
    done: int
    total: int | None
    started_at: float
    updated_at: float

    @property
    def is_build(self) -> bool:
        """Whether it builds a CAR."""
        return self.task.work == Work.BUILD


class Reporter:
    """Writes one task's progress while the `with` block lasts, at most once a second.

    It is news, not a result: where the connection to the database breaks, or the catalog can only be read, it
    isn't written.
    """

    def __init__(self, catalog: Catalog, project: str, task: Task, total: int | None) -> None:
        self._catalog = catalog
        self._key = {"project": project, "task": str(task)}
        self._task: dict[str, Any] = {"work": str(task.work), "container": task.container}
        self._total = total
        self._started = time.time()
        self._written = 0.0
        self._done = 0

    def __enter__(self) -> "Reporter":
        self._write()
        return self

    def advance(self, done: int) -> None:
        """Count what was done since the last call."""
        self._done += done
        if time.monotonic() - self._written >= _INTERVAL:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        row = self._task | {
            "done": self._done,
            "total": self._total,
            "started_at": self._started,
            "updated_at": time.time(),
        }
        mine = sa.and_(*(table.c[name] == value for name, value in self._key.items()))
        if self._catalog.read_only:
            return
        with _unless_lost(), self._catalog.write() as connection:
            if not connection.execute(table.update().where(mine).values(row)).rowcount:
                connection.execute(table.insert().values(self._key | row))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._catalog.read_only:
            return
        with _unless_lost(), self._catalog.write() as connection:
            connection.execute(
                table.delete().where(*(table.c[name] == value for name, value in self._key.items()))
            )


@contextmanager
def _unless_lost() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_lost(error):
            raise


@survives_outage
def running(catalog: Catalog, project: str) -> list[RunningTask]:
    """Tasks of a project that are under way."""
    columns = ("work", "container", "done", "total", "started_at", "updated_at")
    query = (
        sa.select(*(table.c[name] for name in columns))
        .where(table.c.project == project, table.c.updated_at > time.time() - STALE)
        .where(table.c.work.in_(tuple(Work)))
        .order_by(table.c.task)
    )
    with catalog.read() as connection:
        return [
            RunningTask(Task(Work(work), container), *rest)
            for work, container, *rest in connection.execute(query)
        ]


def my_turn(catalog: Catalog, project: str, work: str, interval: float) -> bool:
    """Whether the caller is the one to tell of some work now.

    Of all processes that ask, one gets True every `interval` seconds at most, on however many machines.
    """
    mine = sa.and_(table.c.project == project, table.c.task == _TURN + work)
    now = time.time()
    with catalog.read() as connection:
        last: float | None = connection.scalar(sa.select(table.c.updated_at).where(mine))
    if last is not None and abs(now - last) < interval:  # another machine's clock may be ahead
        return False
    row = {"done": 0, "total": None, "started_at": now, "updated_at": now}
    try:
        with catalog.write() as connection:
            if last is None:
                connection.execute(table.insert().values(project=project, task=_TURN + work, **row))
                return True
            unchanged = sa.and_(mine, table.c.updated_at == last)
            return connection.execute(table.update().where(unchanged).values(row)).rowcount == 1
    except IntegrityError:
        return False  # another process was first
