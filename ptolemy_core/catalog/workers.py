"""Which processes build CARs or wait for work, on any machine: a row each, kept fresh by its heartbeat."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ptolemy_core.catalog.schema import worker as table
from ptolemy_core.catalog.store import Catalog

LOST = 60.0
"""Seconds without a heartbeat after which a worker is lost: killed, or its machine is cut off."""

_INTERVAL = 10.0
_CHANGE = 1.0
"""Seconds between two writes at least, so that small CARs don't cost a write each."""

_FORGET = 24 * 3600.0
"""Seconds that a lost worker stays listed."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that builds CARs.

    Attributes:
        host, pid: where it is.
        project, container: what it builds now; None while it waits for work.
        started_at, heartbeat_at: seconds since 1970 by the database's clock (on SQLite by the machine's).
    """

    host: str
    pid: int
    project: str | None
    container: int | None
    started_at: float
    heartbeat_at: float

    def is_lost(self, now: float | None = None) -> bool:
        """Whether its heartbeat stopped without a good-bye, `now` being seconds since 1970."""
        return (time.time() if now is None else now) - self.heartbeat_at > LOST


def list_workers(catalog: Catalog) -> list[Worker]:
    """All workers by host and pid, lost ones too."""
    query = sa.select(*(table.c[name] for name in Worker.__dataclass_fields__))
    with catalog.read() as connection:
        return [Worker(*row) for row in connection.execute(query.order_by(table.c.host, table.c.pid))]


class Heartbeat:
    """Lists this process as a worker while the `with` block lasts.

    A thread of its own writes; while the database is away it tries again, so that a build never fails or waits
    because of its heartbeat.
    """

    def __init__(self, catalog: Catalog, *, interval: float = _INTERVAL) -> None:
        """`interval`: seconds between heartbeats."""
        self._catalog = catalog
        self._interval = interval
        self._key: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid()}
        self._task: dict[str, Any] = {"project": None, "container": None}
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._started = time.monotonic()
        self._thread.start()
        return self

    @contextmanager
    def building(self, project: str, container: int) -> Iterator[None]:
        """Say that this process builds a container while the block lasts."""
        self._say(project, container)
        try:
            yield
        finally:
            self._say(None, None)

    def _say(self, project: str | None, container: int | None) -> None:
        self._task = {"project": project, "container": container}
        self._changed.set()

    def _run(self) -> None:
        with suppress(SQLAlchemyError):
            self._forget_lost()
        while not self._ended.is_set():
            self._changed.clear()
            with suppress(SQLAlchemyError):
                self._write()
            self._ended.wait(min(_CHANGE, self._interval))
            self._changed.wait(self._interval - min(_CHANGE, self._interval))
        with suppress(SQLAlchemyError), self._catalog.write() as connection:
            connection.execute(table.delete().where(self._mine()))

    def _write(self) -> None:
        now = _now(self._catalog)
        with self._catalog.write() as connection:
            row = self._task | {"heartbeat_at": now}
            if not connection.execute(table.update().where(self._mine()).values(row)).rowcount:
                started = now - (time.monotonic() - self._started)
                connection.execute(table.insert().values(self._key | row | {"started_at": started}))

    def _forget_lost(self) -> None:
        """What this host lost is forgotten when it is back; what another one lost, after a day."""
        silent = _now(self._catalog) - table.c.heartbeat_at
        here = table.c.host == self._key["host"]
        same = here & (table.c.pid == self._key["pid"])  # an earlier process of this id
        with self._catalog.write() as connection:
            connection.execute(table.delete().where(sa.or_(silent > _FORGET, here & (silent > LOST), same)))

    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(*(table.c[name] == value for name, value in self._key.items()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._changed.set()
        self._thread.join(self._interval)  # a database that hangs doesn't hold the work up


def _now(catalog: Catalog) -> Any:
    """Seconds since 1970: of one clock for all machines, where there is one."""
    return sa.extract("epoch", sa.func.clock_timestamp()) if catalog.is_postgres else time.time()
