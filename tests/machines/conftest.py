"""Tests of several machines run on a home with Postgres, as machines share one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline import fixtures
from pipeline.backend import Backend
from pipeline.fixtures import postgres
from pipeline.postgres import Postgres

__all__ = ["postgres"]


@pytest.fixture
def home(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A clean home on Postgres."""
    made = fixtures.enter(tmp_path, postgres.database(), monkeypatch)
    yield made
    made.close()
