"""A catalog of its own for each test, once on SQLite and once on Postgres."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.catalog import Catalog
from tests.pipeline.fixtures import postgres

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres").database()
        return url.replace("postgresql://", "postgresql+psycopg2://")
    return f"sqlite:///{tmp_path}/home/catalog.db"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    opened = Catalog(catalog_url)
    yield opened
    opened.engine.dispose()
