"""Dagster's storages on SQLite: made by one process while others wait.

Materializations that come together are written together, with one sync for all.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from alembic.script import ScriptDirectory
from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.sql import get_alembic_config
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from ptolemy_core.catalog.place import cannot_write, make_folder

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_LOCK = "creation.lock"
_WAIT = 30
"""Seconds to wait for another process's transaction."""


class BatchedEventLogStorage(SqliteEventLogStorage):
    """Events. Dagster's own class writes each of a batch alone, with two syncs."""

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


class SqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite files."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        """Open the storage in a folder; its databases are made if they aren't there, by one process at a time.

        Raises:
            StateError: the folder can't be made or written.
        """
        with _made_by_one(base_dir):
            super().__init__(base_dir, inst_data)
            self._event_log_storage = BatchedEventLogStorage(self._event_log_storage._base_dir)


@contextmanager
def _made_by_one(folder: str) -> Iterator[None]:
    """Keep other processes out while the databases of a folder are made, or mended.

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
        if not all(len(_revisions(database)) == 1 for database in databases):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for database in databases:
                _keep_one_revision(database)
        yield
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
