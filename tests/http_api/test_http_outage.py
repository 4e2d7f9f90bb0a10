"""Postgres away: 503 with Retry-After from every address, and not a word of where the database is."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import outage
from tests.http_api.client import Api, in_process
from tests.pipeline import postgres as server
from tests.pipeline.fixtures import entered

ADDRESSES = [
    ("GET", "/health"),
    ("GET", "/v0/projects"),
    ("GET", "/v0/projects/delta"),
    ("GET", "/v0/plan/delta"),
    ("GET", "/v0/carfile_meta/delta"),
    ("GET", "/v0/carfile_meta/delta/0"),
    ("GET", "/v0/files?path=a.txt"),
    ("GET", "/v0/workers"),
    ("GET", "/v0/runs/c900d207-01ad-4558-9555-ccd194310973"),
    ("POST", "/v0/runs/c900d207-01ad-4558-9555-ccd194310973/cancel"),
    ("POST", "/v0/runs/c900d207-01ad-4558-9555-ccd194310973/retry"),
    ("POST", "/v0/scan/delta"),
    ("POST", "/v0/containerize/delta"),
    ("POST", "/v0/create/echo"),
]


@pytest.fixture
def own_postgres() -> Iterator[server.Postgres]:
    """A Postgres that a test may stop."""
    with server.running() as running:
        yield running


@pytest.fixture
def api(own_postgres: server.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API on it."""
    backend = entered(tmp_path, own_postgres.database(), monkeypatch)
    with in_process(backend) as made:
        made.create()
        monkeypatch.setattr(outage, "_longest_patience", 0.2)
        yield made
        backend.close()


def assert_away(api: Api, method: str, path: str, database: str) -> None:
    body: Any = api.settings() if "create" in path else None
    answer = api.http.request(method, path, json=body)
    assert answer.status_code == 503, (method, path, answer.text)
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"] == "urn:ptolemy:problem:catalog-away"
    for secret in (database, "5432", "127.0.0.1", "postgres", "refused"):
        assert secret not in answer.text.lower()


def test_while_postgres_is_away_all_addresses_are_503_and_name_nothing_of_it(
    api: Api, own_postgres: server.Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    database = api.backend.env["PTOLEMY_PG_URL"].rpartition("/")[2]
    own_postgres.stop()
    for method, path in ADDRESSES:
        assert_away(api, method, path, database)
    assert database in caplog.text  # the log has what the answers haven't
    own_postgres.start()
    for method, path in ADDRESSES[:3]:
        assert api.http.request(method, path).status_code == 200


def test_a_postgres_that_hangs_makes_health_503_soon(api: Api, own_postgres: server.Postgres) -> None:
    assert api.http.get("/health").status_code == 200
    api.backend.catalog.engine.dispose()
    own_postgres._process.send_signal(signal.SIGSTOP)  # takes connections, and says nothing
    try:
        answers = [api.http.get("/health") for _ in range(3)]
    finally:
        own_postgres._process.send_signal(signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [503] * 3
    assert api.http.get("/health").status_code == 200


def test_a_database_that_is_gone_names_nothing_either(api: Api, own_postgres: server.Postgres) -> None:
    database = api.backend.env["PTOLEMY_PG_URL"].rpartition("/")[2]
    connection = own_postgres.connect("postgres")
    connection.autocommit = True
    connection.cursor().execute(f"DROP DATABASE {database} WITH (FORCE)")
    connection.close()
    assert_away(api, "GET", "/v0/projects", database)
    assert_away(api, "GET", "/health", database)
