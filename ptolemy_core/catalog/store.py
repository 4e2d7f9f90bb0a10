"""Opening the catalog: where it is, transactions, schema upgrades, locks that die with their process."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from ptolemy_core.catalog import sqlite
from ptolemy_core.catalog.outage import LostConnectionError, connect_patiently, is_lost, survives_outage
from ptolemy_core.catalog.place import PG_URL, cannot_write, default_url, home, make_folder
from ptolemy_core.errors import BusyError, ReadOnlyStateError, SettingsError, StateError

__all__ = ["PG_URL", "REVISION", "Catalog", "default_url", "home"]

REVISION = "0021"
"""Revision of the schema that this version reads and writes."""

_POLL = 0.2
_DEAD = 30
"""Seconds after which Postgres and its client give up a connection whose other side is cut off, and its locks."""

_TIMEOUTS = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 4,
    "tcp_user_timeout": _DEAD * 1000,
}
_CLIENT_TIMEOUTS = {name.replace("tcp_keepalives", "keepalives"): value for name, value in _TIMEOUTS.items()}
_CLIENT_TIMEOUTS["connect_timeout"] = 10


class Catalog:
    """The open catalog. Use `read()` and `write()` for transactions, `lock()` around a stage.

    Attributes:
        url: SQLAlchemy's.
        is_postgres: whether it is on Postgres, and not on SQLite.
        path: SQLite's file; "" on Postgres.
        read_only: whether it can only be read, as its file or folder can't be written.
        engine: SQLAlchemy's.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open the catalog at an SQLAlchemy URL (default: `default_url()`), creating or upgrading its tables."""
        self.url = url or default_url()
        self.is_postgres = self.url.startswith("postgresql")
        self.path = "" if self.is_postgres else self.url.removeprefix("sqlite:///")
        self.read_only = False
        if self.is_postgres:
            self.engine = sa.create_engine(
                self.url, pool_pre_ping=True, pool_size=4, max_overflow=4, connect_args=_CLIENT_TIMEOUTS
            )
            connect_patiently(self.engine)
            _notice_lost_clients(self.engine)
        else:
            self.read_only = sqlite.is_read_only(self.path)
            if self.read_only:
                self.engine = self._open_read_only()
                return
            self.engine = sqlite.open_writable(self.path)
        self._upgrade()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @survives_outage
    def fetch(
        self, query: sa.Select[Any], given: Mapping[str, object] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """All rows of a query with these values, in a transaction of its own."""
        with self.read() as connection:
            return connection.execute(query, given).all()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that writes: committed at the end, rolled back on an error.

        Raises:
            ReadOnlyStateError: the catalog can only be read.
        """
        self._require_writable()
        with (
            self.engine.connect().execution_options(ptolemy_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def sync(self) -> None:
        """See that what is committed also survives a loss of power (SQLite here syncs at checkpoints alone)."""
        if not self.is_postgres:
            with suppress(FileNotFoundError):
                descriptor = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    @contextmanager
    def lock(self, name: str, *, wait: float = 0.0, busy: str = "") -> Iterator[Callable[[], None]]:
        """Hold the lock of this name; it ends with its process, so it never goes stale.

        On Postgres it also ends when the server does. Yields a function that sees that it is still held, and
        raises LostConnectionError if it isn't: call it before what must not be done by two.

        Args:
            name: of what is locked.
            wait: seconds to wait for it.
            busy: the error's message.

        Raises:
            BusyError: another process still holds it.
            ReadOnlyStateError: the catalog can only be read.
        """
        self._require_writable()
        deadline = time.monotonic() + wait
        taking = self._advisory_lock(name) if self.is_postgres else self._file_lock(name)
        with taking as (attempt, check):
            while not attempt():
                if time.monotonic() >= deadline:
                    raise BusyError(
                        busy or f"{name} is running in another process: wait for it, then try again"
                    )
                time.sleep(_POLL)
            yield check

    @contextmanager
    def _advisory_lock(self, name: str) -> Iterator[tuple[Callable[[], bool], Callable[[], None]]]:
        key = int.from_bytes(hashlib.sha256(f"ptolemy {name}".encode()).digest()[:8], "big", signed=True)
        connection: Connection | None = None

        @survives_outage
        def attempt() -> bool:
            nonlocal connection
            if connection is None or connection.invalidated:
                if connection is not None:
                    connection.close()
                connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))

        def check() -> None:
            if connection is None or connection.invalidated:
                raise LostConnectionError(f"the lock {name} is gone")
            connection.execute(sa.select(1))

        try:
            yield attempt, check
        finally:
            if connection is not None:
                try:
                    if not connection.invalidated:
                        connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
                except sa.exc.DBAPIError as error:
                    if not is_lost(error):
                        raise
                finally:
                    connection.close()

    @contextmanager
    def _file_lock(self, name: str) -> Iterator[tuple[Callable[[], bool], Callable[[], None]]]:
        folder = f"{self.path}.locks"
        make_folder(folder)
        path = os.path.join(folder, name.replace("/", "_"))
        descriptor = -1

        def attempt() -> bool:
            nonlocal descriptor
            try:
                taken = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise cannot_write(folder, error) from error
            try:
                fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(taken), os.stat(path)):
                    descriptor = taken
            except (BlockingIOError, FileNotFoundError):
                pass  # held; or its holder has just removed it
            finally:
                if descriptor != taken:
                    os.close(taken)
            return descriptor == taken

        try:
            yield attempt, lambda: None
        finally:
            if descriptor >= 0:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # while it is held: a project of many CARs leaves no file for each
                os.close(descriptor)

    def _require_writable(self) -> None:
        if self.read_only:
            raise ReadOnlyStateError(
                f"{self.path} can't be written, so it can only be read: change its permissions or those of its "
                "folder, or set DAGSTER_HOME to a copy that this user may write"
            )

    def _open_read_only(self) -> Engine:
        """An engine on the database as it is; on an upgraded copy where its schema is an older one."""
        self.engine = sqlite.open_read_only(self.path)
        if self._revision() == REVISION:
            return self.engine
        self.engine.dispose()
        self.engine = sqlite.open_copy(self.path)
        revision = self._revision()
        if revision is None:
            raise StateError(
                f"{self.path} contains no catalog and can't be written: set DAGSTER_HOME to another folder"
            )
        self._require_known(revision)
        from ptolemy_core.catalog.migrations import upgrade

        with self.engine.connect().execution_options(ptolemy_write=True) as connection, connection.begin():
            upgrade(connection)
        return self.engine

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("ptolemy_schema"):
                return None
            found = list(connection.scalars(sa.text("SELECT version_num FROM ptolemy_schema")))
            return found[0] if found else None

    @survives_outage
    def _upgrade(self) -> None:
        if self._revision() == REVISION:
            return
        from ptolemy_core.catalog.migrations import upgrade  # alembic takes half a second to import

        with self.lock("schema", wait=300):
            revision = self._revision()  # another process may have done it meanwhile
            if revision == REVISION:
                return
            self._require_known(revision)
            with self.write() as connection:
                upgrade(connection)

    def _require_known(self, revision: str | None) -> None:
        """See that this version can upgrade a schema.

        Raises:
            SettingsError: it is a newer one.
        """
        from ptolemy_core.catalog.migrations import knows

        if revision is not None and not knows(revision):
            raise SettingsError(
                f"the catalog's schema is revision {revision}, newer than this version of Ptolemy, which knows "
                f"{REVISION}: upgrade Ptolemy, or use another database or DAGSTER_HOME"
            )


def _notice_lost_clients(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"SET {name} = {value}" for name, value in _TIMEOUTS.items()))
        connection.commit()  # else it would be undone with the first transaction that is
