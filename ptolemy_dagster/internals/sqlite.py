"""Dagster's storages on SQLite; materializations that come together are written together, with one sync for all."""

from collections.abc import Sequence
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage


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
        """Open the storage in a folder."""
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchedEventLogStorage(self._event_log_storage._base_dir)
