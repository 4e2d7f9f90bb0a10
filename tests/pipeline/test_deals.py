"""Deals in Dagster: the job makes and follows them, the check counts them, sensor and schedule ask for runs."""

import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.catalog import deals, projects, providers
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.schedules import daily_deals
from ptolemy_dagster.sensors import deals as sensor
from tests.deals.project import KEY, SECRET, CarServer
from tests.pipeline.backend import Backend, in_process
from tests.provider import ProviderServer


@pytest.fixture
def dealt(sqlite: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A home with a built project that wants two replicas, and two providers."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    monkeypatch.setenv("PTOLEMY_WALLETS", f"main=secp256k1:{KEY}")
    sqlite.define()
    server = CarServer(sqlite.staging())
    with (
        sqlite.instance() as instance,
        ProviderServer(tmp_path / "anna", seconds=0.01, fetch_pause=0.01) as anna,
        ProviderServer(tmp_path / "bert", seconds=0.01, fetch_pause=0.01) as bert,
    ):
        assert in_process("onboard", "delta", instance).success
        for name, address, provider in (("anna", "f01000", anna), ("bert", "f01001", bert)):
            provider.market.providers = (address,)
            providers.add(
                sqlite.catalog, ProviderRow(name, "curio", "mainnet", address, provider.url, rate=1000)
            )
        projects.change(
            sqlite.catalog,
            "delta",
            {
                "replicas": 2,
                "providers": ["anna", "bert"],
                "deal_wallet": "main",
                "piece_url": server.template,
            },
        )
        yield sqlite
    server.close()


def run(backend: Backend, instance: dg.DagsterInstance) -> tuple[Any, Any]:
    """One run of the job: the asset's metadata, and the check's evaluation."""
    result = in_process("deal", "delta", instance, raise_on_error=False)
    (made,) = result.asset_materializations_for_node("deals")
    (check,) = result.get_asset_check_evaluations()
    return made.metadata, check


def due(backend: Backend) -> None:
    deals.make_due(backend.catalog, [row.id for row in deals.select(backend.catalog, project="delta")])


def test_the_job_makes_deals_and_the_check_passes_once_each_piece_has_enough(dealt: Backend) -> None:
    with dealt.instance() as instance:
        told, check = run(dealt, instance)
        assert not check.passed
        assert "has 0 of 2 active deals" in check.description
        assert told["deals on their way"].value == 2
        until = time.monotonic() + 60
        while not check.passed and time.monotonic() < until:
            due(dealt)
            told, check = run(dealt, instance)
        assert check.passed
    assert told["pieces with enough active deals"].value == 1
    assert "| anna | active | 1 |" in told["by provider"].value
    assert "data:image/svg+xml" in told["states over time"].value
    whole = json.dumps([str(value) for value in told.values()])
    assert SECRET not in whole
    assert KEY not in whole


def test_the_sensor_asks_for_a_run_when_deals_are_due_or_may_be_made(dealt: Backend) -> None:
    with dealt.instance() as instance:

        def tick(cursor: str | None, now: float) -> dg.SensorResult:
            return sensor.tick(dealt.catalog, instance, cursor, now)

        now = time.time()
        first = tick(None, now)
        assert not first.run_requests  # nothing is due, and nobody allowed to make deals
        projects.change(dealt.catalog, "delta", {"deal_auto": True})
        (request,) = tick(first.cursor, now).run_requests or []
        assert (request.partition_key, request.tags["ptolemy/because"]) == ("delta", "deals are missing")
        assert request.run_config == {}
        in_process("deal", "delta", instance)
        projects.change(dealt.catalog, "delta", {"deal_auto": False})
        due(dealt)
        second = tick(first.cursor, now)
        (request,) = second.run_requests or []
        assert request.run_config == {"ops": {"deals": {"config": {"propose": False}}}}
        assert not tick(second.cursor, now + 1).run_requests
        assert tick(second.cursor, now + sensor.ROUND).run_requests


def test_while_runs_fail_the_sensor_asks_for_them_ever_more_rarely(
    dealt: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dealt.instance() as instance:
        in_process("deal", "delta", instance)
        due(dealt)
        now = time.time()
        cursor = sensor.tick(dealt.catalog, instance, None, now).cursor

        def asks(after: float) -> bool:
            return bool(sensor.tick(dealt.catalog, instance, cursor, now + after).run_requests)

        monkeypatch.setenv("PTOLEMY_WALLETS", "")
        for failed in (1, 2):
            assert not in_process("deal", "delta", instance, raise_on_error=False).success
            due(dealt)
            assert not asks(sensor.ROUND * 2**failed - 1)
            assert asks(sensor.ROUND * 2**failed)
        for _ in range(3):
            in_process("deal", "delta", instance, raise_on_error=False)
        due(dealt)
        assert not asks(sensor.LONGEST - 1)
        assert asks(sensor.LONGEST)
        monkeypatch.setenv("PTOLEMY_WALLETS", f"main=secp256k1:{KEY}")
        assert in_process("deal", "delta", instance).success
        due(dealt)
        assert asks(sensor.ROUND)


def test_a_run_that_may_not_propose_makes_no_deal(dealt: Backend) -> None:
    with dealt.instance() as instance:
        result = defs.resolve_job_def("deal").execute_in_process(
            tags={"dagster/partition": "delta"},
            instance=instance,
            run_config={"ops": {"deals": {"config": {"propose": False}}}},
        )
        assert result.success
    assert not deals.select(dealt.catalog, project="delta")


def test_every_day_projects_that_want_replicas_are_looked_at(dealt: Backend) -> None:
    dealt.define("other")
    with dealt.instance() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.datetime(2026, 11, 26, 4)
        )
        requests = list(daily_deals(context, catalog=CatalogResource()))
    assert [request.partition_key for request in requests] == ["delta"]
