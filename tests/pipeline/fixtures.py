"""Fixtures that the pipeline's tests share with the command line's."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ptolemy_dagster.instance import prepare_home
from tests.pipeline import postgres as server
from tests.pipeline.backend import Backend, environment


@pytest.fixture(scope="session")
def postgres() -> Iterator[server.Postgres]:
    """A Postgres server of this session's own."""
    with server.running() as running:
        yield running


def entered(root: Path, url: str | None, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A home below `root` that this process is in; on Postgres if there is a URL."""
    env = environment(root, url)
    for name in os.environ:
        if name.startswith(("PTOLEMY_", "DAGSTER_")):
            monkeypatch.delenv(name)
    for name in ("DAGSTER_HOME", "PTOLEMY_PG_URL", "PTOLEMY_BUILD_PROCESSES"):
        if name in env:
            monkeypatch.setenv(name, env[name])
    prepare_home()
    return Backend(root, env)


@pytest.fixture(params=["sqlite", "postgres"])
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """A clean home, once on SQLite and once on Postgres."""
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    made = entered(tmp_path, url, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A clean home on SQLite, for what doesn't depend on the database."""
    made = entered(tmp_path, None, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, for runs within this process."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
