"""Tests of several machines run on a home with Postgres, as machines share one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline import fixtures
from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import postgres
from tests.pipeline.postgres import Postgres

__all__ = ["postgres"]


@pytest.fixture
def home(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A clean home on Postgres."""
    made = fixtures.entered(tmp_path, postgres.database(), monkeypatch)
    yield made
    made.close()
