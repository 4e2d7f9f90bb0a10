"""The catalog: one SQL database with a row per file, shard, container and CAR. SQLite or Postgres.

`Catalog` is imported when it is first used: who only asks where the state is needs no SQLAlchemy.
"""

from typing import TYPE_CHECKING, Any

from ptolemy_core.catalog.place import PG_URL, default_url, home

if TYPE_CHECKING:
    from ptolemy_core.catalog.store import Catalog

__all__ = ["PG_URL", "Catalog", "default_url", "home"]


def __getattr__(name: str) -> Any:
    if name == "Catalog":
        from ptolemy_core.catalog.store import Catalog

        return Catalog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
