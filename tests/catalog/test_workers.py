"""The list of workers: what it shows of living, finished and lost processes, and through a database's absence."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.schema import worker as table
from ptolemy_core.catalog.workers import LOST, Heartbeat, Worker, list_workers
from tests.pipeline.fixtures import postgres
from tests.pipeline.postgres import Postgres

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """Times come from the database's clock on Postgres, so these tests run on both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/catalog.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database().replace("postgresql://", "postgresql+psycopg2://")


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it didn't happen"
        time.sleep(0.02)


def tasks(catalog: Catalog) -> list[tuple[str | None, int | None]]:
    return [(one.project, one.container) for one in list_workers(catalog)]


def add(catalog: Catalog, host: str, pid: int, silent: float) -> None:
    """A worker whose heartbeat stopped some seconds ago."""
    now = time.time()
    row = {"host": host, "pid": pid, "project": "p", "container": 7}
    with catalog.write() as connection:
        connection.execute(
            table.insert().values(row | {"started_at": now - 1e6, "heartbeat_at": now - silent})
        )


def test_a_worker_is_listed_with_what_it_builds_until_it_ends(catalog: Catalog) -> None:
    before = time.time()
    with Heartbeat(catalog, interval=0.05) as heartbeat:
        wait_until(lambda: tasks(catalog) == [(None, None)])
        with heartbeat.building("delta", 3):
            wait_until(lambda: tasks(catalog) == [("delta", 3)])
        with pytest.raises(ZeroDivisionError), heartbeat.building("delta", 4):
            wait_until(lambda: tasks(catalog) == [("delta", 4)])
            raise ZeroDivisionError
        wait_until(lambda: tasks(catalog) == [(None, None)])
        (one,) = list_workers(catalog)
        assert (one.host, one.pid) == (socket.gethostname(), os.getpid())
        assert before - 5 < one.started_at <= one.heartbeat_at < time.time() + 5
        assert not one.is_lost()
        wait_until(lambda: list_workers(catalog)[0].heartbeat_at > one.heartbeat_at)
        assert list_workers(catalog)[0].started_at == one.started_at
    assert list_workers(catalog) == []


def beat(url: str, release: Any) -> None:
    with Heartbeat(Catalog(url)) as heartbeat, heartbeat.building("delta", 3):
        release.wait(60)


def test_a_killed_worker_is_lost_after_a_minute_and_forgotten_when_its_host_is_back(
    catalog: Catalog, catalog_url: str
) -> None:
    context = multiprocessing.get_context("spawn")
    release = context.Event()
    process = context.Process(target=beat, args=(catalog_url, release))
    process.start()
    wait_until(lambda: tasks(catalog) == [("delta", 3)])
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (left,) = list_workers(catalog)
    assert not left.is_lost(left.heartbeat_at + LOST)
    assert left.is_lost(left.heartbeat_at + LOST + 1)
    with catalog.write() as connection:
        connection.execute(table.update().values(heartbeat_at=table.c.heartbeat_at - LOST - 1))
    assert list_workers(catalog)[0].is_lost()
    with Heartbeat(catalog):
        wait_until(lambda: tasks(catalog) == [(None, None)])


def test_only_old_losses_of_other_hosts_are_forgotten(catalog: Catalog) -> None:
    here = socket.gethostname()
    add(catalog, "other", 1, LOST + 5)
    add(catalog, "other", 2, 25 * 3600)
    add(catalog, here, 1, LOST + 5)
    add(catalog, here, 2, 1)
    add(catalog, here, os.getpid(), 1)  # of an earlier process of the same id
    with Heartbeat(catalog):
        wait_until(lambda: (None, None) in tasks(catalog))
        found = {(one.host, one.pid): one for one in list_workers(catalog)}
    assert found.keys() == {("other", 1), (here, 2), (here, os.getpid())}
    assert found[here, os.getpid()].started_at > time.time() - 60


def test_heartbeats_go_on_after_the_database_was_away(catalog: Catalog) -> None:
    away = sa.exc.OperationalError("UPDATE", {}, Exception("server closed the connection"))
    refused = []

    def refuse(*_: Any) -> None:
        refused.append(1)
        raise away

    with Heartbeat(catalog, interval=0.05) as heartbeat:
        wait_until(lambda: tasks(catalog) == [(None, None)])
        sa.event.listen(catalog.engine, "begin", refuse)
        with heartbeat.building("delta", 3):
            wait_until(lambda: len(refused) > 3)
            sa.event.remove(catalog.engine, "begin", refuse)
            wait_until(lambda: tasks(catalog) == [("delta", 3)])


def test_a_worker_has_these_fields() -> None:
    fields = ["host", "pid", "project", "container", "started_at", "heartbeat_at"]
    assert list(Worker.__dataclass_fields__) == fields
