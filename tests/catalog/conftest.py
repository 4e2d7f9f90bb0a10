"""A catalog of its own for each test, by its URL: other databases than SQLite are further parameters."""

from pathlib import Path

import pytest

from ptolemy_core.catalog import Catalog


@pytest.fixture(params=["sqlite"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    assert request.param == "sqlite"
    return f"sqlite:///{tmp_path}/home/catalog.db"


@pytest.fixture
def catalog(catalog_url: str) -> Catalog:
    return Catalog(catalog_url)
