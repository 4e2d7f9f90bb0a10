"""The catalog: one SQL database with a row per file, shard, container and CAR. SQLite or Postgres."""

from ptolemy_core.catalog.store import PG_URL, Catalog, default_url, home

__all__ = ["PG_URL", "Catalog", "default_url", "home"]
