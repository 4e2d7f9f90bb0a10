"""The pipeline's tests run on a Dagster home of their own, most of them on SQLite and on Postgres."""

from tests.pipeline.fixtures import backend, instance, postgres, sqlite

__all__ = ["backend", "instance", "postgres", "sqlite"]
