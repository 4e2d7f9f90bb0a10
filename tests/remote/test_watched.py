"""A watched URL is scanned at an interval, since a store can't be looked at for less than a listing costs."""

from typing import Any

import pytest

from ptolemy_core.catalog import scans
from ptolemy_core.errors import LossError, SettingsError
from ptolemy_core.project import parse_project
from ptolemy_core.stages.watch import State, look
from tests.remote.servers import Store
from tests.remote.test_bucket import delete, put, remote


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
    assert early.said == "the next scan is due in 5 of 10 minutes"
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
