"""The API within this process, on a home of its own; Dagster's storage is real, its webserver is not there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ptolemy_core.catalog import Catalog
from tests.http_api.client import Api, in_process
from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import backend, entered, postgres

__all__ = ["api", "backend", "both", "postgres", "sqlite"]


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home on SQLite whose databases are made: copying it is much faster than making one for each test."""
    root = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        made = entered(root, None, patch)
        Catalog().engine.dispose()
        with dg.DagsterInstance.from_config(made.env["DAGSTER_HOME"]) as instance:
            instance.get_runs(limit=1)
            instance.get_dynamic_partitions("projects")
    return root / "home"


@pytest.fixture
def sqlite(new_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A clean home on SQLite."""
    shutil.copytree(new_home, tmp_path / "home")
    made = entered(tmp_path, None, monkeypatch)
    yield made
    made.close()


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
