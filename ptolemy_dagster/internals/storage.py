"""Dagster's own storage by one setting: Postgres where PTOLEMY_PG_URL is set, else SQLite in its home."""

import os
from typing import Any

from dagster import Field, Noneable, StringSource
from dagster._core.storage.base_storage import DagsterStorage

from ptolemy_core.catalog import PG_URL, default_url, home
from ptolemy_dagster.internals.sqlite import SqliteStorage


def from_environment(inst_data: Any, base_dir: str | None) -> DagsterStorage:
    """The storage that the environment asks for."""
    if os.environ.get(PG_URL):
        from ptolemy_dagster.internals.postgres import PooledStorage

        return PooledStorage(default_url(), inst_data)
    folder = base_dir or os.path.join(home(), "storage")
    return SqliteStorage.from_local(folder, inst_data)


class PtolemyStorage(DagsterStorage):
    """Named in dagster.yaml; it becomes one of Dagster's own storages when it is configured."""

    @classmethod
    def config_type(cls) -> Any:
        """`base_dir`: folder of the SQLite files."""
        return {"base_dir": Field(Noneable(StringSource), is_required=False, default_value=None)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: dict[str, Any]) -> DagsterStorage:
        """Dagster calls this with dagster.yaml's values."""
        return from_environment(inst_data, config_value.get("base_dir"))
