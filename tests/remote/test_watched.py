"""A watched URL is scanned at an interval, since a store can't be looked at for less than a listing costs."""

import time
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from ptolemy_core.catalog import scans
from ptolemy_core.errors import LossError, SettingsError
from ptolemy_core.project import parse_project
from ptolemy_core.stages import watch as stage
from ptolemy_core.stages.scan import scan
from ptolemy_core.stages.watch import Look, State, look
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.sensors import watch
from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import sqlite
from tests.remote import conftest
from tests.remote.proxy import Proxy
from tests.remote.servers import Store
from tests.remote.test_bucket import delete, put, remote

__all__ = ["sqlite"]

_LATE = 100_000.0
"""Seconds by which the daily look comes late."""


def asked(scene: Any) -> Look:
    """A look at a project that nobody scanned yet, which lists it and asks for the first scan."""
    first = look(scene.catalog, scene.project, State(), 1.0)
    assert first.due
    return Look(first.asking(1.0), True, first.said)


def test_a_watched_url_is_scanned_some_minutes_after_the_last_scan(make: Any, bucket: Store) -> None:
    put(bucket, {"a": b"1"})
    scene = remote(make, bucket, watch=True, rescan_minutes=10)
    first = look(scene.catalog, scene.project, State(), 1.0)
    assert first.due
    assert not look(scene.catalog, scene.project, first.asking(1.0), 2.0).due
    scene.scan()
    last = scans.last(scene.catalog, scene.name)
    assert last is not None
    early = look(scene.catalog, scene.project, State(), last.started + 300)
    assert not early.due
    assert early.said == "the next look is due in 5 of 10 minutes"
    late = look(scene.catalog, scene.project, early.state, last.started + 601)
    assert late.due
    assert not look(scene.catalog, scene.project, late.asking(last.started + 601), last.started + 700).due


def test_a_refused_scan_is_asked_for_again_only_after_the_interval(make: Any, bucket: Store) -> None:
    put(bucket, {"a": b"1"})
    scene = remote(make, bucket, watch=True)
    scene.scan()
    delete(bucket, "a")
    with pytest.raises(LossError):
        scene.scan()
    last = scans.last(scene.catalog, scene.name)
    assert last is not None
    assert not look(scene.catalog, scene.project, State(), last.started + 3000).due
    assert look(scene.catalog, scene.project, State(), last.started + 3601).due


def test_an_interval_that_cant_be_is_refused_with_its_limits() -> None:
    with pytest.raises(SettingsError, match="rescan_minutes must be 1 to 999999 minutes, got 0"):
        parse_project({"name": "p", "target_dir": "s3://b", "staging_dir": "/tmp/x", "rescan_minutes": 0})


def test_the_sensor_asks_for_a_scan_of_a_bucket_only_where_something_changed(
    sqlite: Backend, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, {"a": b"1", "b/c": b"2"})
    sqlite.define("far", target_dir=f"s3://{bucket.bucket}/pre", watch=True)
    cursor = None
    now = time.time()
    monkeypatch.setattr(watch.time, "time", lambda: now)

    def tick(later: float) -> tuple[list[str], str]:
        nonlocal cursor, now
        now += later
        with sqlite.instance() as instance:
            context = dg.build_sensor_context(
                instance=instance, resources={"catalog": CatalogResource()}, definitions=defs, cursor=cursor
            )
            with partition_loading_context(dynamic_partitions_store=instance):  # as the daemon does
                data = watch.watch.evaluate_tick(context)
        cursor = data.cursor
        return [str(one.partition_key) for one in data.run_requests or []], data.skip_message or ""

    assert tick(0)[0] == ["far"]
    scan(sqlite.catalog, "far")
    assert tick(30) == ([], "far: the next look is due in 60 of 60 minutes")
    same = "far: its listing is the one before the last scan"
    assert tick(3600) == ([], same)
    assert tick(30) == ([], "far: the next look is due in 60 of 60 minutes")
    assert tick(3600) == ([], same)
    put(bucket, {"b/c": b"3"})
    assert tick(3600)[0] == ["far"]
    found = scan(sqlite.catalog, "far")
    assert (found.added, found.changed, found.gone) == (0, 1, 0)


def test_a_look_at_an_unchanged_bucket_costs_a_listing_and_a_settings_change_a_scan(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    put(bucket, {str(number): b"1" for number in range(5)})
    scene = remote(make, bucket, watch=True)
    first = asked(scene)
    scene.scan()
    with Proxy(bucket) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        assert not look(scene.catalog, scene.project, first.state, time.time() + _LATE).due
        assert len(proxy.requests) == 2
    conftest.use(bucket, monkeypatch, tmp_path)
    excluding = scene.project.model_copy(update={"exclude": ("3",)})
    assert look(scene.catalog, excluding, first.state, time.time() + _LATE).due


def test_a_scan_that_did_not_come_about_is_asked_for_again_though_nothing_changed_since(
    make: Any, bucket: Store
) -> None:
    put(bucket, {"a": b"1"})
    scene = remote(make, bucket, watch=True)
    first = asked(scene)
    assert not look(scene.catalog, scene.project, first.state, 800.0).due
    again = look(scene.catalog, scene.project, first.state, 902.0)
    assert again.due
    scene.scan()
    delete(bucket, "a")
    with pytest.raises(LossError):
        scene.scan()
    late = look(scene.catalog, scene.project, again.asking(902.0), time.time() + _LATE)
    assert late.due


def test_a_bucket_of_many_keys_is_scanned_without_a_look(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    put(bucket, {"a": b"1", "b": b"2"})
    scene = remote(make, bucket, watch=True)
    monkeypatch.setattr(stage, "BUDGET", 1)
    first = asked(scene)
    scene.scan()
    with Proxy(bucket) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        assert look(scene.catalog, scene.project, first.state, time.time() + _LATE).due
        assert proxy.requests == []


def test_a_store_that_is_away_gets_the_scan_that_says_so(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, {"a": b"1"})
    scene = remote(make, bucket, watch=True)
    first = asked(scene)
    scene.scan()
    monkeypatch.setattr(stage, "SECONDS", 0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert look(scene.catalog, scene.project, first.state, time.time() + _LATE).due
