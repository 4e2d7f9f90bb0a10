"""Pushed pieces within rounds: uploaded in chunks, resumed by the next round; a break fails no deal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.catalog import deals, providers
from tests.deals.project import Dealing, dealing
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]

CHUNK = 512
PUT = "PUT /uploads/{id}/{number}"


@pytest.fixture
def one(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """One piece of several chunks, that one provider is to get by push."""
    monkeypatch.setattr("ptolemy_core.stages.deal_upload._SMALL", 0)
    monkeypatch.setattr("ptolemy_core.stages.deal_upload.CHUNK", CHUNK)
    assert len(stage.run({b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(3)})) == 1
    with dealing(stage, tmp_path, ("anna",)) as made:
        made.settings(replicas=1, deal_transfer="push", piece_url=None)
        made.servers["anna"].market.min_chunk = CHUNK
        yield made


def chunks(one: Dealing) -> int:
    return -(-one.scene.cars()[0].car_size // CHUNK)


def puts(one: Dealing) -> int:
    return one.servers["anna"].requests.count(PUT)


def break_after(one: Dealing, count: int, fault: str) -> None:
    """Have the provider break an upload off after so many chunks."""
    for _ in range(count):
        one.servers["anna"].faults.add(PUT, "slow")  # answered, if slowly
    one.servers["anna"].faults.add(PUT, fault)


def test_a_round_uploads_a_piece_in_chunks(one: Dealing) -> None:
    assert chunks(one) > 4
    one.plan()
    one.all_active()
    assert puts(one) == chunks(one)


@pytest.mark.parametrize("fault", ["500", "no-answer-after", "cut-after", "429"])
def test_an_upload_that_breaks_off_leaves_the_deal_accepted_and_the_next_round_resumes_it(
    one: Dealing, fault: str
) -> None:
    one.servers["anna"].slow_seconds = 0.0
    break_after(one, 2, fault)
    one.plan()
    result = one.round()
    (row,) = one.rows()
    assert (row.state, row.tries) == ("accepted", 0)
    assert list(result.away) == ["anna"]
    assert puts(one) == 3
    one.now = max(row.next_at, providers.get(one.catalog, "anna").away_until or 0) + 1
    one.round()
    arrived = 3 if fault.endswith("after") else 2
    assert puts(one) == 3 + chunks(one) - arrived
    one.all_active()
    states = [entry.state for entry in deals.history(one.catalog, row.id)]
    assert states.count("sent") == 1
    assert len(one.deals_at("anna")) == 1


def test_uploads_that_break_off_again_and_again_are_no_failure(one: Dealing) -> None:
    one.plan()
    for _ in range(6):
        one.servers["anna"].faults.add(PUT, "500")
        one.round(everything=True)
        one.now += 4000
    assert one.states() in (["accepted"], ["transferring"])
    assert not one.plan().assignments
    one.all_active()


def test_a_piece_that_can_not_be_read_is_told_and_its_deal_waits(one: Dealing) -> None:
    one.plan()
    (car,) = one.scene.cars()
    kept = one.scene.staging / car.file_name
    kept.rename(kept.with_suffix(".away"))
    (problem,) = one.round().problems
    assert "waits for its bytes" in problem
    assert one.states() == ["accepted"]
    kept.with_suffix(".away").rename(kept)
    one.now += 4000
    one.all_active()
