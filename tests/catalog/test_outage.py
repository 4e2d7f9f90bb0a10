"""Postgres goes away and comes back: work waits for it and is done, once; else the error says what to do."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.car import BuiltCar
from ptolemy_core.catalog import Catalog, cars, containers, outage, progress, projects
from ptolemy_core.catalog.schema import car, file, scan
from ptolemy_core.errors import BusyError, ReceiptError, UnavailableError
from ptolemy_core.project import parse_project
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan as run_scan
from tests.pipeline import postgres as server


@pytest.fixture(scope="module")
def own() -> Iterator[server.Postgres]:
    """A server that this module alone stops and starts."""
    with server.running() as running:
        yield running


@pytest.fixture
def catalog(own: server.Postgres, tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(own.database().replace("postgresql://", "postgresql+psycopg2://"))
    target = tmp_path / "target"
    target.mkdir()
    settings = {"name": "p", "target_dir": str(target), "staging_dir": str(tmp_path / "staging")}
    projects.create(opened, parse_project(settings))
    yield opened
    opened.engine.dispose()


def break_connections(catalog: Catalog) -> None:
    """Have the server end all other connections to this database, as a restart does."""
    other = sa.create_engine(catalog.url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.dispose()


def later(seconds: float, action: Any) -> threading.Thread:
    thread = threading.Timer(seconds, action)
    thread.start()
    return thread


def test_work_waits_for_a_server_that_comes_back(own: server.Postgres, catalog: Catalog) -> None:
    own.stop()
    starting = later(1.0, own.start)
    assert projects.names(catalog) == ["p"]
    starting.join()


def test_a_server_that_stays_away_is_named_with_what_to_do(
    own: server.Postgres, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(outage.PATIENCE, "0.5")
    place = catalog.engine.url
    own.stop()
    try:
        with pytest.raises(UnavailableError) as caught:
            projects.names(catalog)
        with pytest.raises(UnavailableError):
            Catalog(catalog.url)
    finally:
        own.start()
    text = str(caught.value)
    assert f"Postgres at 127.0.0.1:{place.port}/{place.database} didn't answer for 0.5 s" in text
    assert "start it or check PTOLEMY_PG_URL, then run this again" in text


def test_what_waiting_cannot_change_is_said_at_once(catalog: Catalog) -> None:
    started = time.monotonic()
    with pytest.raises(sa.exc.OperationalError, match="does not exist"):
        Catalog(catalog.url + "_not")
    assert time.monotonic() - started < outage.patience()


def test_a_query_whose_connection_breaks_is_sent_again(catalog: Catalog) -> None:
    tries = 0

    @outage.survives_outage
    def ask() -> Any:
        nonlocal tries
        tries += 1
        with catalog.read() as connection:
            connection.scalar(sa.select(1))
            if tries == 1:
                break_connections(catalog)
            return connection.scalar(sa.select(2))

    assert (ask(), tries) == (2, 2)


def test_other_errors_are_not_tried_again(catalog: Catalog) -> None:
    tries = 0

    @outage.survives_outage
    def fail() -> None:
        nonlocal tries
        tries += 1
        with catalog.write() as connection:
            connection.execute(scan.insert().values(project="nobody's", started_at=0.0))

    with pytest.raises(sa.exc.IntegrityError):
        fail()
    assert tries == 1


def test_a_connection_that_breaks_each_time_ends_with_an_error(catalog: Catalog) -> None:
    @outage.survives_outage
    def broken() -> None:
        with catalog.read() as connection:
            break_connections(catalog)
            connection.scalar(sa.select(1))

    with pytest.raises(UnavailableError, match="broke the connection 5 times in a row"):
        broken()


def test_a_copy_whose_connection_breaks_says_so(catalog: Catalog) -> None:
    from ptolemy_core.catalog import bulk

    with pytest.raises(outage.LostConnectionError), catalog.write() as connection:
        connection.scalar(sa.select(1))
        break_connections(catalog)
        bulk.insert(connection, file, ("project", "path"), [("p", b"x")])


def test_a_lock_that_was_lost_is_told_and_taken_again(catalog: Catalog) -> None:
    with catalog.lock("x") as check:
        check()
        break_connections(catalog)
        with pytest.raises((sa.exc.DBAPIError, outage.LostConnectionError)) as caught:
            check()
        assert outage.is_lost(caught.value)
        with catalog.lock("x"), pytest.raises(BusyError), catalog.lock("x"):
            pass


def test_a_scan_and_a_plan_outlast_broken_connections(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Path(projects.get(catalog, "p").target_dir)
    for number in range(2500):
        (target / f"{number:04d}").write_bytes(b"%d" % number)
    monkeypatch.setattr("ptolemy_core.stages.merge.BATCH", 500)
    broken = iter([True])

    found = 0

    def once(entries: int, _: int) -> None:
        nonlocal found
        found += entries
        if found >= 2000 and next(broken, False):
            break_connections(catalog)

    assert run_scan(catalog, "p", progress=once).files == 2500
    assert next(broken, None) is None, "no connection was broken"
    with catalog.read() as connection:
        live = sa.select(sa.func.count(), sa.func.count(file.c.path.distinct())).where(
            file.c.gone_scan.is_(None)
        )
        assert tuple(connection.execute(live).one()) == (2500, 2500)

    from ptolemy_core.stages import containerize as stage

    real = stage.plan_batches
    again = iter([True])

    def breaking(*arguments: Any) -> Any:
        if next(again, False):
            break_connections(catalog)
        return real(*arguments)

    monkeypatch.setattr(stage, "plan_batches", breaking)
    assert [row.items for row in containerize(catalog, "p").containers] == [2500]


def test_progress_is_left_out_where_the_connection_breaks(catalog: Catalog) -> None:
    with progress.Reporter(catalog, "p", progress.Task(progress.Work.SCAN), 10) as reporter:
        real = catalog.write

        def broken() -> Any:
            raise outage.LostConnectionError

        catalog.write = broken  # type: ignore[method-assign]
        reporter._write()
        catalog.write = real  # type: ignore[method-assign]
        reporter._write()
    assert progress.running(catalog, "p") == []


def test_a_receipt_whose_answer_was_lost_is_written_once(catalog: Catalog) -> None:
    (Path(projects.get(catalog, "p").target_dir) / "a").write_bytes(b"a")
    run_scan(catalog, "p")
    (row,) = containerize(catalog, "p").containers
    built = BuiltCar("a.car", b"p", b"v1", b"v2", 100, 128, None, [])
    cars.write_receipt(catalog, row.id, built, 1.0)
    cars.write_receipt(catalog, row.id, built, 1.0)
    assert [one.file_name for one in cars.rows(catalog, "p")] == ["a.car"]
    with pytest.raises(ReceiptError, match="fits no container"):
        cars.write_receipt(catalog, row.id, BuiltCar("b.car", b"p", b"v1", b"x", 1, 1, None, []), 1.0)
    with catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(car)) == 1
    assert containers.rows(catalog, "p")[0].built
