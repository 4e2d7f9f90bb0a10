"""The newest run of a project, read from the tables of Dagster's storage without importing Dagster."""

import os
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
import yaml  # type: ignore[import-untyped]

from ptolemy_core.catalog import Catalog, home
from ptolemy_dagster.home import CONFIG
from ptolemy_dagster.run_facts import ENDED, RunFacts

_NEWEST = (
    "SELECT r.run_id, r.pipeline_name, r.status, r.update_timestamp FROM runs r "
    "JOIN run_tags t ON t.run_id = r.run_id AND t.key = 'dagster/partition' AND t.value = {0} "
    "ORDER BY r.update_timestamp DESC, r.id DESC LIMIT 1"
)
_NEWEST_OF = (
    "SELECT n.name, newest.* FROM unnest(CAST(:names AS text[])) AS n(name) CROSS JOIN LATERAL ("
    + _NEWEST.format("n.name")
    + ") AS newest"
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
        self._made = False
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, int, sqlite3.Connection]] = {}

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        return self.newest_of([project]).get(project)

    def newest_of(self, projects: Sequence[str]) -> dict[str, RunFacts]:
        """`newest` of each of some projects that has a run. Tags are read of those only that haven't ended."""
        if self._catalog.is_postgres:
            with self._catalog.read() as connection:
                if not self._is_made(connection):
                    return {}
                rows = connection.execute(sa.text(_NEWEST_OF), {"names": list(projects)}).all()
                found = {row[0]: tuple(row[1:]) for row in rows}
        else:
            found = {name: rows[0] for name in projects if (rows := self._rows("runs.db", _NEWEST, name))}
        return {name: self._facts(*row) for name, row in found.items()}

    def _facts(self, run_id: str, job: str, status: str, updated: Any) -> RunFacts:
        if not isinstance(updated, datetime):
            updated = datetime.fromisoformat(updated)
        at = updated.replace(tzinfo=updated.tzinfo or UTC).timestamp()
        tags = {} if status in ENDED else dict(self._rows("runs.db", _TAGS, run_id))
        return RunFacts(run_id, job, status, at, tags)

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
                if not self._is_made(connection):
                    return []
                return [tuple(row) for row in connection.execute(sa.text(query.format(":v")), {"v": value})]
        with self._lock:
            opened = self._open(os.path.join(self._folder, file))
            if opened is None:
                return []
            try:
                return opened.execute(query.format("?"), (value,)).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # it is being made
                    return []
                raise

    def _open(self, path: str) -> sqlite3.Connection | None:
        """The database of that path, which stays open until another one is asked for; None if there is none."""
        try:
            inode = os.stat(path).st_ino
        except FileNotFoundError:
            return None
        kept = self._kept.get(os.path.dirname(path))
        if kept is not None:
            if kept[:2] == (path, inode):
                return kept[2]
            kept[2].close()
        opened = sqlite3.connect(path, timeout=30, check_same_thread=False)
        self._kept[os.path.dirname(path)] = path, inode, opened
        return opened

    def _is_made(self, connection: sa.Connection) -> bool:
        """Whether Dagster's tables are there."""
        if not self._made:
            self._made = sa.inspect(connection).has_table("runs")
        return self._made


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
