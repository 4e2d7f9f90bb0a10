"""The documentation's examples run in a home of their own."""

from tests.pipeline.fixtures import backend, postgres, sqlite

__all__ = ["backend", "postgres", "sqlite"]
