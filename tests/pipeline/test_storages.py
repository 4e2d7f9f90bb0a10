"""Dagster's own storages: pooled on Postgres, and events of CARs written together on both."""

import multiprocessing
import os
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage

from ptolemy_dagster.instance import open_instance
from ptolemy_dagster.internals import events
from ptolemy_dagster.internals.postgres import PooledStorage
from tests.pipeline import postgres as server
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files


def connections(postgres: server.Postgres, url: str) -> int:
    """How many others are connected to a database."""
    connection = postgres.connect(url.rsplit("/", 1)[1])
    cursor = connection.cursor()
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    count: int = cursor.fetchone()[0]
    connection.close()
    return count


def report(storage_user: dg.DagsterInstance, count: int) -> None:
    for number in range(count):
        storage_user.report_runless_asset_event(dg.AssetMaterialization("x", partition=str(number)))


def recorded(instance: dg.DagsterInstance) -> list[str | None]:
    return [r.partition_key for r in instance.fetch_materializations(dg.AssetKey("x"), limit=100).records]


@pytest.fixture
def url(postgres: server.Postgres, sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, which this process and those that it starts use."""
    made: str = postgres.database()
    monkeypatch.setenv("PTOLEMY_PG_URL", made)
    return made


def test_few_connections_are_kept_and_none_after_the_end(postgres: server.Postgres, url: str) -> None:
    with open_instance() as instance:
        report(instance, 20)
        assert 1 <= connections(postgres, url) <= 2
    assert connections(postgres, url) == 0


def test_statements_whose_connection_broke_are_sent_again(postgres: server.Postgres, url: str) -> None:
    with open_instance() as instance:
        report(instance, 1)
        storage: Any = instance.event_log_storage
        with storage._connect() as connection:
            broken = connection.connection.dbapi_connection.info.backend_pid
            other = sa.create_engine(url, isolation_level="AUTOCOMMIT")
            with other.connect() as killer:
                killer.execute(sa.select(sa.func.pg_terminate_backend(broken)))
            other.dispose()
            assert connection.scalar(sa.text("SELECT 7")) == 7
        report(instance, 1)
        assert recorded(instance) == ["0", "0"]


def test_a_transaction_whose_connection_broke_is_not_sent_in_part(url: str) -> None:
    storage = PooledStorage(url.replace("postgresql://", "postgresql+psycopg2://"))
    with storage.event_log_storage._connect() as first:  # type: ignore[attr-defined]
        connection = first.execution_options(isolation_level="READ COMMITTED")
        with pytest.raises(sa.exc.DBAPIError) as caught, connection.begin():
            connection.execute(sa.select(sa.func.pg_terminate_backend(sa.func.pg_backend_pid())))
        assert caught.value.connection_invalidated


def test_the_webservers_statements_have_a_time_limit(url: str) -> None:
    with open_instance() as instance:
        instance.optimize_for_webserver(statement_timeout=1234, pool_recycle=60, max_overflow=5)
        storage: Any = instance.event_log_storage
        with storage._connect() as connection:
            assert connection.scalar(sa.text("SHOW statement_timeout")) == "1234ms"


def open_storage(url: str, go: Any, results: Any) -> None:
    go.wait(60)
    os.environ["PTOLEMY_PG_URL"] = url
    try:
        with open_instance() as instance:
            results.put(len(instance.get_runs()))
    except BaseException as error:
        results.put(repr(error))


def test_processes_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=open_storage, args=(url, go, results)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    assert [results.get(timeout=120) for _ in processes] == [0, 0, 0]
    for process in processes:
        process.join()


def test_events_of_a_batch_are_written_together(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LONGEST", float("inf"))
    monkeypatch.setattr(events, "_MOST", 4)
    backend.define(target=backend.folder(files=tiny_files(10)), load_type="serial")
    plan_small(backend.catalog, "delta", 3100)
    sizes = []
    with backend.instance() as instance:
        storage: Any = instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        real = storage.store_event_batch

        def counted(batch: Any) -> None:
            sizes.append(len([one for one in batch if one.dagster_event.asset_key == dg.AssetKey("car")]))
            real(batch)

        monkeypatch.setattr(storage, "store_event_batch", counted)
        run_id = in_process("blitz", "delta", instance).run_id
        expected = {f"delta|{number:06d}" for number in range(10)}
        assert instance.get_materialized_partitions(dg.AssetKey("car")) == expected
        shown = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        assert {r.dagster_event.partition for r in shown if r.dagster_event} == {*expected, "delta"}
        record = instance.get_latest_materialization_event(dg.AssetKey("car"))
        assert record is not None
    assert [size for size in sizes if size] == [4, 4, 2]
