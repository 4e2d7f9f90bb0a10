"""Opening the catalog: where it is, transactions, schema upgrades, locks that die with their process."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from ptolemy_core.catalog.outage import LostConnectionError, connect_patiently, is_lost, survives_outage
from ptolemy_core.errors import BusyError, SettingsError

PG_URL = "PTOLEMY_PG_URL"
"""The environment variable that puts catalog and Dagster storage on one Postgres."""

REVISION = "0010"
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
_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")


def home() -> str:
    """Folder of the embedded catalog and of Dagster's instance.

    DAGSTER_HOME if it is set, else PTOLEMY_HOME, else ~/.ptolemy.
    """
    chosen = os.environ.get("DAGSTER_HOME") or os.environ.get("PTOLEMY_HOME") or "~/.ptolemy"
    return os.path.abspath(os.path.expanduser(chosen))


def default_url() -> str:
    """SQLAlchemy URL of the catalog: PTOLEMY_PG_URL if it is set, else a SQLite file in `home()`.

    Raises:
        SettingsError: PTOLEMY_PG_URL isn't a Postgres URL.
    """
    url = os.environ.get(PG_URL)
    if not url:
        return f"sqlite:///{home()}/catalog.db"
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        raise SettingsError(
            f"{PG_URL} must look like postgresql://user:password@host:5432/database, "
            f"got one that starts with {scheme[:20]!r}"
        )
    return f"postgresql+psycopg2://{rest}"


class Catalog:
    """The open catalog. Use `read()` and `write()` for transactions, `lock()` around a stage.

    `path` is SQLite's file; "" on Postgres.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open the catalog at an SQLAlchemy URL (default: `default_url()`), creating or upgrading its tables."""
        self.url = url or default_url()
        self.is_postgres = self.url.startswith("postgresql")
        self.path = "" if self.is_postgres else self.url.removeprefix("sqlite:///")
        if self.is_postgres:
            self.engine = sa.create_engine(
                self.url, pool_pre_ping=True, pool_size=4, max_overflow=4, connect_args=_CLIENT_TIMEOUTS
            )
            connect_patiently(self.engine)
            _notice_lost_clients(self.engine)
        else:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            # not the URL's text: a folder's name may hold a question mark
            place = sa.URL.create("sqlite", database=self.path)
            self.engine = sa.create_engine(place, connect_args={"timeout": 120, "check_same_thread": False})
            _configure_sqlite(self.engine)
        self._upgrade()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @survives_outage
    def fetch(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """All rows of a query, in a transaction of its own."""
        with self.read() as connection:
            return connection.execute(query).all()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that writes: committed at the end, rolled back on an error."""
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
        """
        deadline = time.monotonic() + wait
        taking = self._advisory_lock(name) if self.is_postgres else self._file_lock(name)
        with taking as (attempt, check):
            while not attempt():
                if time.monotonic() >= deadline:
                    raise BusyError(busy or f"{name} is under way elsewhere: wait for it, then try again")
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
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name.replace("/", "_"))
        descriptor = -1

        def attempt() -> bool:
            nonlocal descriptor
            taken = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("ptolemy_schema"):
                return None
            value: str | None = connection.scalar(sa.text("SELECT version_num FROM ptolemy_schema"))
            return value

    @survives_outage
    def _upgrade(self) -> None:
        revision = self._revision()
        if revision == REVISION:
            return
        from ptolemy_core.catalog.migrations import knows, upgrade  # alembic takes half a second to import

        if revision is not None and not knows(revision):
            raise SettingsError(
                f"the catalog's schema is revision {revision}, newer than this version of Ptolemy, which knows "
                f"{REVISION}: upgrade Ptolemy, or use another database or DAGSTER_HOME"
            )
        with self.lock("schema", wait=300), self.write() as connection:
            upgrade(connection)


def _notice_lost_clients(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"SET {name} = {value}" for name, value in _TIMEOUTS.items()))
        connection.commit()  # else it would be undone with the first transaction that is


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, by us
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")  # KiB: the inner pages of an index of millions
        connection.execute("PRAGMA wal_autocheckpoint=10000")  # pages: bulk rows are copied less often

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # a writer takes its lock at once: upgrading a read lock later fails when two try
        write = connection.get_execution_options().get("ptolemy_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
