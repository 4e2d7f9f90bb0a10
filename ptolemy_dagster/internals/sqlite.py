"""Dagster's storages on SQLite: made by one process while others wait, and kept open while they are used.

Dagster's own classes open each database again for each statement, read all of Dagster's migrations to see that a
database needs none, and make the database of a run table by table. Here connections are kept, databases that are made
are used as they are, and a run's database is a copy of an empty one. Transactions aren't synced one by one: the file
is consistent after a power cut, but may lack the last events, which a run's next attempt makes good.

Materializations that come together are written together.
"""

import fcntl
import os
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import dagster as dg
from alembic.script import ScriptDirectory
from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sql import get_alembic_config
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool, StaticPool

from ptolemy_core.catalog.place import cannot_write, make_folder

_RUNS, _EVENTS, _SCHEDULES = "history/runs.db", "history/runs/index.db", "schedules/schedules.db"
_DATABASES = (_RUNS, _EVENTS, _SCHEDULES)
_LOCK = "creation.lock"
_WAIT = 30
"""Seconds to wait for another process's transaction."""
_OPEN = 8
"""Databases of runs that are kept open."""


class EventStorage(SqliteEventLogStorage):
    """Events: a database for each run, and one for all.

    Dagster's own class writes each event of a batch alone, with two syncs.
    """

    def __init__(self, base_dir: str) -> None:
        """Open the storage in a folder."""
        self._kept: OrderedDict[str, tuple[Engine, int]] = OrderedDict()
        self._tables: set[str] = set()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> Engine:
        """The engine of a database, which is made if it isn't there."""
        path = self.path_for_shard(shard)
        if shard in self._kept:
            engine, inode = self._kept[shard]
            if _inode(path) == inode:
                self._kept.move_to_end(shard)
                return engine
            self._forget(shard)
        if not _revisions(path):
            self._make(path)
        engine = _engine(path, StaticPool)
        self._kept[shard] = engine, _inode(path)
        if len(self._kept) > _OPEN:
            self._forget(next(iter(self._kept)))
        return engine

    def _make(self, path: str) -> None:
        """Make a run's database: a copy of an empty one, which is made once for a version of Dagster."""
        empty = os.path.join(os.path.dirname(self._base_dir), f"empty-run-{dg.__version__}.db")
        with _alone(self._base_dir):
            if not _revisions(empty):
                engine = _engine(f"{empty}.new", StaticPool)
                self._initdb(engine)
                engine.dispose()
                os.replace(f"{empty}.new", empty)
            if os.path.exists(path):
                self._initdb(_engine(path, StaticPool))  # a process ended while it made it, or Dagster's did
                return
            shutil.copyfile(empty, f"{path}.new")
            descriptor = os.open(f"{path}.new", os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(f"{path}.new", path)

    def _forget(self, shard: str) -> None:
        self._kept.pop(shard)[0].dispose()

    def has_table(self, table_name: str) -> bool:
        """Whether the database for all runs has a table: tables stay."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        """Remove all events."""
        with self._db_lock:
            for shard in list(self._kept):
                self._forget(shard)
        super().wipe()

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        with self._db_lock:
            for shard in list(self._kept):
                self._forget(shard)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one kind at once."""
        kinds = {event.get_dagster_event().event_type for event in events}
        runs = {event.run_id for event in events}
        if kinds != {DagsterEventType.ASSET_MATERIALIZATION} or len(runs) != 1:
            super().store_event_batch(events)
            return
        with self.run_connection(runs.pop()) as connection:
            connection.execute(self.prepare_insert_event_batch(events))
        with self.index_transaction() as connection:  # as store_event: once more, for queries across runs
            ids: list[int] = []
            for event in events:
                key: Any = connection.execute(self.prepare_insert_event(event)).inserted_primary_key
                ids.append(key[0])
            self._store_asset_event_tags(connection, events, ids)
            self._store_asset_event(connection, events[-1], ids[-1])


class _Connected:
    """Connections of a storage that is one database."""

    _engine: Engine

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection, with a transaction."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        self._engine.dispose()


class RunStorage(_Connected, SqliteRunStorage):
    """Runs."""

    def __init__(self, path: str) -> None:
        """Open the database, which must be made."""
        self._engine = _engine(path, QueuePool)
        super().__init__(f"sqlite:///{path}")


class ScheduleStorage(_Connected, SqliteScheduleStorage):
    """Schedules and sensors."""

    def __init__(self, path: str) -> None:
        """Open the database, which must be made."""
        self._engine = _engine(path, QueuePool)
        super().__init__(f"sqlite:///{path}")


class SqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite files."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        """Open the storage in a folder; its databases are made if they aren't there, by one process at a time.

        Raises:
            StateError: the folder can't be made or written.
        """
        with _made_by_one(base_dir) as made:
            if not made:
                super().__init__(base_dir, inst_data)
                self.dispose()
            self.base_dir = base_dir
            self._inst_data = inst_data
            self._run_storage = RunStorage(os.path.abspath(os.path.join(base_dir, _RUNS)))
            self._event_log_storage = EventStorage(os.path.dirname(os.path.join(base_dir, _EVENTS)))
            self._schedule_storage = ScheduleStorage(os.path.abspath(os.path.join(base_dir, _SCHEDULES)))
            super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]


def _engine(path: str, pool: Any) -> Engine:
    """An engine that keeps its connections."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=pool, connect_args={"timeout": _WAIT, "check_same_thread": False}
    )
    event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    """Sync at checkpoints only: a database in WAL mode stays consistent."""
    connection.execute("PRAGMA synchronous=NORMAL")


def _inode(path: str) -> int:
    """What tells that a file is still the one that was opened; 0 if there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Keep other processes that make something in a folder out."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _made_by_one(folder: str) -> Iterator[bool]:
    """Keep other processes out while the databases of a folder are made, or mended; yields whether all are made.

    Dagster's own code, run by two at once, leaves two revisions in a database, and then refuses to open it.
    """
    make_folder(folder)
    path = os.path.join(folder, _LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        databases = [os.path.join(folder, name) for name in _DATABASES]
        made = all(len(_revisions(database)) == 1 for database in databases)
        if not made:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for database in databases:
                _keep_one_revision(database)
        yield made
    finally:
        os.close(descriptor)


def _revisions(database: str) -> list[str]:
    """Revisions of its schema that a database names; none where it isn't made yet."""
    if not os.path.exists(database):
        return []
    with closing(sqlite3.connect(database, timeout=_WAIT)) as connection:
        try:
            return [revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def _keep_one_revision(database: str) -> None:
    """Mend a database that two processes made at once: its tables are those of the newer revision."""
    found = _revisions(database)
    if len(found) < 2:
        return
    older = set(found) - {newest_revision(found)}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "DELETE FROM alembic_version WHERE version_num = ?", [(revision,) for revision in older]
        )


def newest_revision(revisions: Sequence[str]) -> str:
    """The newest of some revisions of Dagster's schema."""
    scripts = ScriptDirectory.from_config(get_alembic_config(sqlite_run_storage.__file__))
    known = (script.revision for script in scripts.walk_revisions())
    return next((revision for revision in known if revision in revisions), max(revisions))
