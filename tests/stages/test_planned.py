"""Whether anything is unplanned is known without a look at each entry, and never wrongly."""

import os
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import container_plan, overview, scans, schema

from .conftest import Scene


def marked(stage: Scene) -> bool:
    with stage.catalog.read() as connection:
        newest = connection.execute(scans.newest_merged(stage.name)).first()
    return bool(newest is not None and newest.planned)


def unplanned(stage: Scene) -> bool:
    """What is said by each way, which must agree with a look at each entry."""
    with stage.catalog.read() as connection:
        each = connection.execute(container_plan.unplanned(connection, stage.name).limit(1)).first()
    found = container_plan.any_unplanned(stage.catalog, stage.name)
    assert found == (each is not None)
    assert overview.of(stage.catalog, [stage.name], 0)[stage.name].unplanned == found
    return found


def test_a_plan_says_that_all_of_its_scan_is_planned_and_a_scan_without_news_keeps_that(stage: Scene) -> None:
    stage.put({b"a": b"1", b"b": b"22"})
    stage.scan()
    assert unplanned(stage)
    assert not marked(stage)
    stage.plan()
    assert marked(stage)
    assert not unplanned(stage)
    stage.scan()
    assert marked(stage)
    assert not unplanned(stage)


def _add(stage: Scene) -> None:
    (stage.target / "c").write_bytes(b"333")


def _change(stage: Scene) -> None:
    os.utime(stage.target / "a", ns=(0, 7))


def _remove(stage: Scene) -> None:
    (stage.target / "a").unlink()


@pytest.mark.parametrize("change", [_add, _change, _remove])
def test_a_scan_with_news_says_nothing_until_the_next_plan(
    stage: Scene, change: Callable[[Scene], None]
) -> None:
    stage.put({b"a": b"1", b"b": bytes(1000)})
    stage.scan()
    stage.plan()
    change(stage)
    stage.scan()
    assert not marked(stage)
    assert unplanned(stage) == (change is not _remove)
    stage.plan()
    assert marked(stage)
    assert not unplanned(stage)


def test_a_scan_that_is_cut_off_leaves_nothing_said(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    stage.scan()
    stage.plan()
    scans.begin(stage.catalog, stage.name, 1.0)
    assert not marked(stage)
    assert not unplanned(stage)


def test_what_isnt_known_any_more_is_looked_up(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    stage.scan()
    stage.plan()
    with stage.catalog.write() as connection:
        scans.set_planned(connection, stage.name, None)
        connection.execute(sa.delete(schema.container))
    assert unplanned(stage)
