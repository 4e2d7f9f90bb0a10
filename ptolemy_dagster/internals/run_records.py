"""The newest run of a project, read from the tables of Dagster's storage without importing Dagster."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
import yaml  # type: ignore[import-untyped]

from ptolemy_core.catalog import Catalog, home
from ptolemy_dagster.home import CONFIG
from ptolemy_dagster.run_facts import RunFacts

_NEWEST = (
    "SELECT r.run_id, r.pipeline_name, r.status, r.update_timestamp FROM runs r "
    "JOIN run_tags t ON t.run_id = r.run_id AND t.key = 'dagster/partition' AND t.value = {0} "
    "ORDER BY r.update_timestamp DESC, r.id DESC LIMIT 1"
)
_TAGS = "SELECT key, value FROM run_tags WHERE run_id = {0}"
_STEP = (
    "SELECT step_key FROM event_logs WHERE run_id = {0} AND dagster_event_type = 'STEP_START' "
    "ORDER BY id DESC LIMIT 1"
)


class RunRecords:
    """Runs as Dagster's storage has them."""

    def __init__(self, catalog: Catalog) -> None:
        """The storage that belongs to a catalog: the same Postgres, or SQLite files in the home."""
        self._catalog = catalog
        self._folder = os.path.join(home(), "storage", "history")

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        rows = self._rows("runs.db", _NEWEST, project)
        if not rows:
            return None
        run_id, job, status, updated = rows[0]
        if not isinstance(updated, datetime):
            updated = datetime.fromisoformat(updated)
        at = updated.replace(tzinfo=updated.tzinfo or UTC).timestamp()
        return RunFacts(run_id, job, status, at, dict(self._rows("runs.db", _TAGS, run_id)))

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        rows = self._rows(os.path.join("runs", f"{run_id}.db"), _STEP, run_id)
        return rows[0][0] if rows else None

    def why_failed(self, run_id: str) -> str | None:
        """Why a run failed; its events are Dagster's to read."""
        from ptolemy_dagster.instance import open_instance
        from ptolemy_dagster.status import InstanceRuns

        with open_instance() as instance:
            return InstanceRuns(instance).why_failed(run_id)

    def _rows(self, file: str, query: str, value: str) -> list[Any]:
        if self._catalog.is_postgres:
            with self._catalog.read() as connection:
                if not sa.inspect(connection).has_table("runs"):
                    return []
                return [tuple(row) for row in connection.execute(sa.text(query.format(":v")), {"v": value})]
        path = os.path.join(self._folder, file)
        if not os.path.exists(path):
            return []
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            if not connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'runs' OR name = 'event_logs'"
            ):
                return []
            return connection.execute(query.format("?"), (value,)).fetchall()


def is_usual_storage() -> bool:
    """Whether Dagster's storage is where Ptolemy puts it: dagster.yaml may name another one."""
    try:
        with open(os.path.join(home(), CONFIG), "rb") as file:
            named = yaml.safe_load(file)
    except FileNotFoundError:
        return True
    except yaml.YAMLError:
        return False
    packaged = yaml.safe_load((files("ptolemy_dagster") / CONFIG).read_bytes())
    return isinstance(named, dict) and named.get("storage") == packaged["storage"]
