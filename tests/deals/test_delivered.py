"""Delivered means enough active deals; a last local copy goes only when providers show that they hold the piece."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import projects, providers, replicas
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.schema import provider as provider_table
from ptolemy_core.errors import DeliveryError
from ptolemy_core.stages.delete_source import DeletionResult, Options, delete_source
from ptolemy_core.stages.release import release, undo
from ptolemy_core.stages.replication import replication
from tests.deals.project import SECRET, Dealing, dealing
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]

FILES = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(3)}
MORE = {b"deep": {b"long": bytes(range(256)) * 12}, b"empty": b"", b"small": b"s"}
"""With 512-byte leaves and two links a node, 3,072 bytes are three levels of nodes."""


@pytest.fixture
def one(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """One CAR, its deals active with both providers."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    scene: Scene = make(shard_size=4, car_size=31)
    assert len(scene.run(FILES | MORE)) == 1
    assert not scene.problems()
    with dealing(scene, tmp_path) as made:
        made.plan()
        made.all_active()
        yield made


def delete(one: Dealing, tmp_path: Path, **options: Any) -> DeletionResult:
    return delete_source(
        one.catalog,
        one.name,
        (),
        Options(really=options.pop("really", True), **options),
        journal_dir=str(tmp_path / "journal"),
        profile=PROFILE,
    )


def journal(one: Dealing, tmp_path: Path) -> list[Any]:
    lines = (tmp_path / "journal" / f"{one.name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def remove_file(one: Dealing) -> None:
    (done,) = release(one.catalog, one.scene.cars(), remove=True)
    assert "file removed" in done.done


def test_a_car_that_is_delivered_by_its_deals_may_leave_the_staging_folder(one: Dealing) -> None:
    remove_file(one)
    assert not one.scene.in_staging()
    assert not replicas.is_marked(one.catalog, one.scene.cars()[0].container_id)
    assert one.scene.cars()[0].delivered_to == "anna, bert"


def test_a_car_with_too_few_active_deals_may_not_unless_it_is_overridden(one: Dealing) -> None:
    one.settings(replicas=3)
    with pytest.raises(DeliveryError, match="has 2 of the 3 active deals"):
        release(one.catalog, one.scene.cars(), remove=True)
    assert one.scene.in_staging()
    release(one.catalog, one.scene.cars(), note="a disk", override=True)
    row = one.scene.cars()[0]
    assert (row.delivered_to, replicas.is_marked(one.catalog, row.container_id)) == ("a disk", True)
    with one.catalog.read() as connection:
        from ptolemy_core.catalog.schema import deal_state

        messages = list(connection.scalars(deal_state.select().with_only_columns(deal_state.c.message)))
    assert "a disk; marked with --override: 2 of 3 deals are active" in messages
    undo(one.catalog, one.scene.cars())
    assert one.scene.cars()[0].delivered_at is None


def test_fewer_wanted_replicas_deliver_at_once_and_more_take_it_back(one: Dealing) -> None:
    for wanted, delivered in ((3, False), (2, True), (1, True), (3, False)):
        one.settings(replicas=wanted)
        replicas.settle(one.catalog, one.name)
        assert (one.scene.cars()[0].delivered_at is not None) == delivered


def test_sources_go_without_a_look_while_the_verified_car_is_in_the_staging_folder(
    one: Dealing, tmp_path: Path
) -> None:
    assert delete(one, tmp_path).files == 6
    assert not one.servers["anna"].retrievals
    assert "its file in staging_dir" in journal(one, tmp_path)[0]["copies"][0]


def test_before_the_last_copy_goes_each_wanted_provider_gives_random_ranges(
    one: Dealing, tmp_path: Path
) -> None:
    remove_file(one)
    assert delete(one, tmp_path, really=False).files == 6
    assert not one.servers["anna"].retrievals  # a dry run asks nobody
    assert delete(one, tmp_path).files == 6
    for server in one.servers.values():
        assert len(server.retrievals) > 6
        assert all(text.startswith("bytes=") for text in server.retrievals)
    assert "fetched from anna, bert and checked" in journal(one, tmp_path)[0]["copies"][0]


@pytest.mark.parametrize("how", ["gone", "wrong", "cut"])
def test_nothing_goes_if_a_provider_does_not_show_the_piece(one: Dealing, tmp_path: Path, how: str) -> None:
    remove_file(one)
    server = one.servers["anna"]
    if how == "gone":
        for path in server.store.folder.glob("*.piece"):
            path.unlink()
    elif how == "wrong":
        server.spoil = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    else:
        server.spoil = lambda data: data[: len(data) // 2]
    result = delete(one, tmp_path)
    assert result.files == 0
    ((reason, count),) = result.kept.items()
    assert count == 6
    assert "only 1 of 2 providers showed that they hold CAR p/0 (anna: " in reason
    assert result.unproven == 6
    assert sorted(path.name for path in one.scene.target.iterdir())
    assert delete(one, tmp_path, trust_deals=True).files == 6
    told = [line["copies"] for line in journal(one, tmp_path) if line["event"] == "deleting"]
    assert told[-1] == ["active deals with anna, bert, trusted without a look"]


def test_every_leaf_can_be_the_one_that_is_asked_for(one: Dealing) -> None:
    import random

    from ptolemy_core.catalog import shards
    from ptolemy_core.stages.evidence import Looking, check_leaf

    (car,) = one.scene.cars()
    data = (one.scene.staging / car.file_name).read_bytes()
    seen: set[int] = set()

    def read(offset: int, length: int) -> bytes:
        seen.add(offset)
        return data[offset : offset + length]

    for seed in range(200):
        looking = Looking(profile=PROFILE, choose=random.Random(seed))
        for shard in shards.built(one.catalog, car.container_id):
            check_leaf(read, shard, looking)
    assert len(seen) == 2 * 23 - 1  # the head and the bytes of 23 blocks, of which one is empty


def test_the_last_copy_of_deleted_sources_leaves_staging_only_after_a_look(
    one: Dealing, tmp_path: Path
) -> None:
    assert delete(one, tmp_path).files == 6
    one.servers["bert"].__exit__()
    with pytest.raises(DeliveryError, match="only 1 of 2 providers showed"):
        release(one.catalog, one.scene.cars(), remove=True)
    assert one.scene.in_staging()
    assert release(one.catalog, one.scene.cars(), remove=True, override=True)[0].done.endswith("file removed")


def test_deals_that_are_over_hold_no_sources(one: Dealing, tmp_path: Path) -> None:
    remove_file(one)
    one.servers["anna"].store.set(one.deals_at("anna")[0].id, "failed", "sector lost")
    one.round()
    result = delete(one, tmp_path)
    assert result.files == 0
    assert any("delivered" in reason for reason in result.kept)


def test_a_project_without_replicas_is_marked_by_hand_as_before(make: Any) -> None:
    scene: Scene = make("q")
    scene.run(FILES)
    assert projects.get(scene.catalog, "q").replicas is None
    release(scene.catalog, scene.cars(), note="shelf 3")
    assert scene.cars()[0].delivered_to == "shelf 3"


def test_deals_on_the_test_network_do_not_count_for_a_project_with_providers_on_mainnet(
    one: Dealing, tmp_path: Path
) -> None:
    (row,) = one.scene.cars()
    for name, address in (("cleo", "f0777"), ("dora", "f0778")):
        providers.add(one.catalog, ProviderRow(name, "manual", "mainnet", address))
    with one.catalog.write() as connection:
        old = provider_table.c.name.in_(["anna", "bert"])
        connection.execute(provider_table.update().where(old).values(network="calibration"))
    one.settings(providers=["anna", "bert"])
    assert not one.plan().assignments
    assert not delete(one, tmp_path, really=False).kept

    one.settings(providers=["cleo", "dora"])
    assert (replication(one.catalog, one.name).active, replication(one.catalog, one.name).replicated) == (
        0,
        0,
    )
    result = delete(one, tmp_path)
    assert not result.files
    assert one.scene.cars()[0].delivered_at is None
    assert not replicas.holders(one.catalog, one.name, [row.piece_cid_v2])[row.piece_cid_v2]
    assert sorted(each.provider.name for each in one.plan().assignments) == ["cleo", "dora"]
