"""Deals of a project from the plan to active, with stand-in providers that really fetch the pieces."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import deals, replicas
from tests.deals.project import SECRET, Dealing, dealing
from tests.pipeline.fixtures import postgres
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "postgres", "stage"]

FILES = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(8)}
both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def two(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """Two pieces, and two providers."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    assert len(stage.run(FILES)) == 2
    with dealing(stage, tmp_path) as one:
        yield one


@both
def test_each_piece_is_made_active_with_as_many_providers_as_wanted(two: Dealing) -> None:
    plan = two.plan()
    assert len(plan.assignments) == 4
    assert not plan.short
    assert two.states() == ["planned"] * 4
    two.all_active()
    for name in two.servers:
        assert len(two.deals_at(name)) == 2
    pieces = [row.piece_cid_v2 for row in two.scene.cars()]
    assert replicas.holders(two.catalog, two.name, pieces) == {piece: ["anna", "bert"] for piece in pieces}
    assert all(row.delivered_at and row.delivered_to == "anna, bert" for row in two.scene.cars())
    assert not two.plan().assignments


@both
def test_the_history_of_a_deal_has_each_state_once_in_order(two: Dealing) -> None:
    two.plan()
    two.all_active()
    for row in two.rows():
        states = [entry.state for entry in deals.history(two.catalog, row.id)]
        order = ["planned", "sent", "accepted", "transferring", "sealing", "indexing", "active"]
        assert [*states[:2], states[-1]] == ["planned", "sent", "active"]
        assert states == [state for state in order if state in states]


def all_text(catalog: Any) -> str:
    from ptolemy_core.catalog.schema import metadata

    with catalog.read() as connection:
        return repr([connection.execute(table.select()).all() for table in metadata.sorted_tables])


@both
def test_the_catalog_has_no_secret(two: Dealing) -> None:
    two.servers["anna"].faults.add("POST /deal", "500-after", 1)
    two.plan()
    two.all_active()
    assert SECRET not in all_text(two.catalog)
