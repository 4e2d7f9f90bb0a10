"""The API within this process, on a home of its own; Dagster's storage is real, its webserver is not there."""

from collections.abc import Iterator

import pytest
from pipeline.backend import Backend
from pipeline.fixtures import backend, postgres, sqlite

from http_api.client import Api, in_process

__all__ = ["api", "backend", "both", "postgres", "sqlite"]


@pytest.fixture
def api(sqlite: Backend) -> Iterator[Api]:
    """The API of a home on SQLite."""
    with in_process(sqlite) as made:
        yield made


@pytest.fixture
def both(backend: Backend) -> Iterator[Api]:
    """The API of a home, once on SQLite and once on Postgres."""
    with in_process(backend) as made:
        yield made
