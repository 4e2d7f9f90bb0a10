"""CARs of a plan: built once, the same after any crash, with the whole files' CIDs; sealed only when complete."""

import hashlib
import multiprocessing
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core import commp
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.root import root_cid
from ptolemy_core.catalog import Catalog, cars, containers, find, progress
from ptolemy_core.catalog.schema import built_shard, car, container, shard
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import file_cid
from ptolemy_core.errors import (
    BusyError,
    ReceiptError,
    SourceError,
    StageOrderError,
    StagingError,
    UnknownProjectError,
)
from ptolemy_core.reader import decode_node, decode_unixfs, open_car, verify_car
from ptolemy_core.settings import CHANGEABLE
from ptolemy_core.stages import blitz, build_job
from ptolemy_core.stages.blitz import build_container, pending
from ptolemy_core.staging.output import Output, partial_file
from ptolemy_core.status.state import project_state
from tests.dag import oracle

from .conftest import BUILDING, PROFILE, Scene

UNIT, CHUNK = PROFILE.size_unit, PROFILE.chunk
TREE: oracle.Content = {
    b"big": bytes(range(256)) * 33,
    b"big.ptolemy0": b"a real file of such a name",
    b"d": {b"%02d" % k: b"%d" % k * k for k in range(40)},
    b"link": oracle.Link(b"big"),
    b"none": b"",
    b"odd\n'\xff": b"?",
    b"void": {},
}


def test_build_waits_for_a_builder_that_lost_the_catalogs_lock(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptolemy_core.stages.blitz._PAUSE", 0.05)
    stage.put(TREE)
    stage.scan()
    stage.plan()
    part = stage.staging / f".{stage.name}-000000.car.part"
    with ThreadPoolExecutor(1) as pool:
        with partial_file(str(part), 100):
            waiting = pool.submit(stage.build, 0)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        row, new = waiting.result(60)
    assert new
    assert stage.in_staging() == [row.file_name]


def test_plan_becomes_cars_with_receipts(stage: Scene) -> None:
    rows = stage.run(TREE)
    planned = containers.rows(stage.catalog, stage.name)
    assert len(rows) == len(planned) > 2
    assert all(container.built for container in planned)
    assert stage.in_staging() == sorted(row.file_name for row in rows)
    for row, plan in zip(rows, planned, strict=True):
        data = (stage.staging / row.file_name).read_bytes()
        piece = commp.PieceCommitment(data)
        assert row.sha256 == hashlib.sha256(data).digest()
        assert row.piece_cid_v1 == commp.piece_cid_v1(piece.digest())
        assert row.piece_cid_v2 == commp.piece_cid_v2(piece.digest(), len(data))
        assert (
            (row.car_size, row.piece_size)
            == (plan.car_size, plan.piece_size)
            == (len(data), piece.piece_size)
        )
        assert row.file_name == cid.to_text(row.piece_cid_v1) + ".car"
        assert verify_car(stage.staging / row.file_name, PROFILE).findings == ()
    assert stage.problems() == []
    standing_now = project_state(stage.catalog, stage.name)
    assert (standing_now.done, standing_now.built, standing_now.tasks) == ("blitz", len(rows), [])


def test_sha256_of_cars_is_recorded_only_where_the_project_says_so(make: Any) -> None:
    without, with_it = make("without", car_sha256=False), make("with", car_sha256=True)
    assert [row.sha256 for row in without.run(TREE)] == [None] * len(without.cars())
    digests = [
        hashlib.sha256((with_it.staging / row.file_name).read_bytes()).digest() for row in with_it.run(TREE)
    ]
    assert [row.sha256 for row in with_it.cars()] == digests
    assert "car_sha256" in CHANGEABLE


def test_all_data_can_be_put_together_again_from_the_cars(stage: Scene) -> None:
    rows = stage.run(TREE)
    found: dict[str, list[tuple[int, bytes]]] = {}
    for row in rows:
        for item in find.find_cid(stage.catalog, cid.to_text(row.payload_cid)):
            node = file_bytes(stage.staging / row.file_name, item.car_offset or 0)
            found.setdefault(item.path, []).append((item.start or 0, node))
    assert b"".join(data for _, data in sorted(found["big"])) == TREE[b"big"]  # type: ignore[index]
    assert found["d/07"] == [(0, b"7777777")]


def file_bytes(path: Path, offset: int) -> bytes:
    """The data of the file or shard whose first section is at `offset`."""
    with open_car(path) as reader:
        blocks = [block for block in reader.blocks() if block.offset >= offset]
    if blocks[0].cid[1] == cid.RAW:
        return blocks[0].data
    size = decode_unixfs(decode_node(blocks[0].data).data or b"").filesize or 0
    return b"".join(block.data for block in blocks if block.cid[1] == cid.RAW)[:size]


SIZES = [
    0,
    1,
    CHUNK,
    CHUNK + 1,
    *(k * UNIT + more for k in (1, 2, 3, 4, 5, 8, 9) for more in (-1, 0, 1, CHUNK, CHUNK + 1)),
    17 * UNIT + 3,
]


@pytest.mark.parametrize("shard_size", [1, 2, 3])
def test_whole_files_cid_is_that_of_the_unsplit_file(make: Any, shard_size: int) -> None:
    """At every boundary: one byte in the last shard, one chunk and one more, exact shards, more than the width."""
    stage = make(shard_size=shard_size, car_size=8)
    randbytes = random.Random(shard_size).randbytes
    stage.run({b"f%d" % size: randbytes(size) for size in SIZES})
    for row in stage.files():
        path = bytes(stage.target) + b"/" + row.path
        if row.size > shard_size * UNIT:
            assert row.cid == root_cid(path, PROFILE), row.size
        else:
            assert row.cid is None
            (found,) = find.find_path(stage.catalog, os.fsdecode(row.path))
            assert found.cid == found.file_cid or found.cid == cid.to_text(root_cid(path, PROFILE))
    assert stage.problems() == []


@pytest.mark.parametrize("shard_units", [1, 2, 3])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_stitched_cid_needs_the_lowest_nodes_alone(width: int, shard_units: int) -> None:
    """Of every size: the shards' nodes right above the leaves, a lone leaf for itself."""
    profile = Profile(chunk=3, width=width)
    sizes = oracle.Sizes(3, width)
    shard_bytes = shard_units * profile.size_unit
    for size in range(shard_bytes + 1, 12 * profile.size_unit, 2):
        data = bytes(k % 251 for k in range(size))
        lowest = b""
        for at in range(0, size, shard_bytes):
            node = oracle.file(data[at : at + shard_bytes], sizes)
            nodes = [n for n in node.preorder() if n.children and not n.children[0].children] or [node]
            lowest += b"".join(n.cid[4:] for n in nodes)
        bare = len(data[at:]) <= 3
        assert file_cid(size, lowest, profile, bare_leaf=bare) == oracle.file(data, sizes).cid


def test_stitching_the_wrong_number_of_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="has 2 lowest nodes, got 3 digests"):
        file_cid(UNIT + 1, bytes(96), PROFILE)
    with pytest.raises(ValueError, match="has 1 lowest nodes"):
        file_cid(UNIT, bytes(32), PROFILE)


def test_whole_files_cid_waits_for_its_last_shard(stage: Scene) -> None:
    stage.put({b"big": bytes(range(256)) * 40})
    stage.scan()
    numbers = [row.number for row in stage.plan().containers]
    assert len(numbers) > 2
    for number in numbers[::-1]:
        assert stage.files()[0].cid is None
        stage.build(number)
    assert stage.files()[0].cid == root_cid(bytes(stage.target / "big"), PROFILE)


def test_seal_names_what_is_missing(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    count = len(stage.plan().containers)
    stage.build(0)
    with pytest.raises(
        ReceiptError, match=f"{count - 1} CARs of project 'p' are not built, the first is number 1"
    ):
        stage.seal()
    assert [row.number for row in pending(stage.catalog, stage.name)] == list(range(1, count))
    assert [row.number for row in stage.blitz()] == list(range(count))


def test_building_again_does_nothing(stage: Scene) -> None:
    rows = stage.run(TREE)
    before = {name: os.stat(stage.staging / name) for name in stage.in_staging()}
    row, fresh = stage.build(0)
    assert (row, fresh) == (rows[0], False)
    assert stage.build(0, rebuild=True) == (rows[0], False)
    assert {name: os.stat(stage.staging / name) for name in stage.in_staging()} == before
    assert stage.blitz() == rows


@pytest.mark.parametrize("threads", [1, 4])
def test_rebuild_of_a_deleted_car_gives_the_same_bytes(stage: Scene, threads: int) -> None:
    rows = stage.run(TREE)
    path = stage.staging / rows[1].file_name
    data = path.read_bytes()
    path.unlink()
    assert stage.build(1) == (rows[1], False)
    assert not path.exists()
    assert stage.build(1, rebuild=True, options=BuildOptions(threads, unit=1016)) == (rows[1], True)
    assert path.read_bytes() == data
    assert stage.cars() == rows


def test_rebuild_of_a_truncated_car_gives_the_same_bytes(stage: Scene) -> None:
    rows = stage.run(TREE)
    path = stage.staging / rows[0].file_name
    data = path.read_bytes()
    os.truncate(path, 100)
    assert stage.build(0, rebuild=True) == (rows[0], True)
    assert path.read_bytes() == data


def test_rebuild_that_differs_from_its_receipt_is_refused(stage: Scene) -> None:
    rows = stage.run(TREE)
    (stage.staging / rows[0].file_name).unlink()
    with stage.catalog.write() as connection:
        connection.execute(
            car.update().where(car.c.container_id == rows[0].container_id).values(piece_cid_v2=bytes(39))
        )
    with pytest.raises(ReceiptError, match="container 0 of 'p' was rebuilt"):
        stage.build(0, rebuild=True)


def test_death_between_rename_and_receipt_is_made_good(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()

    class Killed(BaseException):
        pass

    def killed(*args: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cars, "write_receipt", killed)
        with pytest.raises(Killed):
            stage.build(0)
    (name,) = stage.in_staging()
    data = (stage.staging / name).read_bytes()
    assert stage.cars() == []
    row, fresh = stage.build(0)
    assert fresh
    assert row.file_name == name
    assert (stage.staging / name).read_bytes() == data
    assert stage.in_staging() == [name]


@pytest.mark.parametrize("method", ["publish", "close"])
def test_an_interrupt_leaves_no_named_car_without_a_receipt(
    stage: Scene, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    original = getattr(Output, method)

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Output, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage.build(0)
    assert stage.in_staging() == [row.file_name for row in stage.cars()]
    assert len(stage.cars()) == 1


def test_an_interrupt_ends_a_build_that_has_still_much_to_do(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    write = Output.write

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Output, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage.build(0)
    assert stage.in_staging() == []
    assert stage.cars() == []
    assert stage.build(0)[1]


def test_receipt_is_written_as_a_whole_or_not_at_all(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()

    def fail(*args: object, **named: object) -> None:
        raise OSError("the catalog's disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(cars.bulk, "insert", fail)
        with pytest.raises(OSError, match="disk is full"):
            stage.build(0)
    assert stage.cars() == []
    assert stage.build(0)[1]


def test_plan_that_changes_during_a_build_refuses_the_receipt(stage: Scene) -> None:
    """Its ids don't come back, so a late receipt fits no new container."""
    stage.put({b"a": b"1", b"b": bytes(UNIT)})
    stage.scan()
    stage.plan()

    def meanwhile(step: int) -> None:
        if not changed:
            changed.append((stage.target / "b").write_bytes(b"22"))
            os.utime(stage.target / "b", ns=(0, 5))
            stage.scan()
            stage.plan()

    changed: list[int] = []
    with pytest.raises((ReceiptError, SourceError)):
        stage.build(0, progress=meanwhile)
    assert stage.cars() == []
    assert len(stage.blitz()) == 1
    assert stage.problems() == []


def test_plan_of_another_size_than_the_layout_is_refused(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    with stage.catalog.write() as connection:
        connection.execute(container.update().where(container.c.number == 0).values(car_size=12345))
    with pytest.raises(ReceiptError, match="planned as 12345 bytes and lays out as"):
        stage.build(0)


def test_changed_source_fails_its_container_alone(stage: Scene) -> None:
    stage.put({b"f%d" % k: bytes([k]) * UNIT for k in range(9)})
    stage.scan()
    count = len(stage.plan().containers)
    os.utime(stage.target / "f0", ns=(0, 1))
    with pytest.raises(SourceError, match="f0 changed since the scan"):
        stage.build(0)
    assert stage.in_staging() == []
    for number in range(1, count):
        stage.build(number)
    with pytest.raises(ReceiptError, match="1 CAR "):
        stage.seal()
    stage.scan()
    stage.plan()
    stage.blitz()
    assert stage.problems() == []


def test_staging_that_vanished_is_named(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    stage.staging.rmdir()
    with pytest.raises(StagingError, match="staging"):
        stage.build(0)


def test_unknown_projects_and_containers_are_named(stage: Scene) -> None:
    with pytest.raises(UnknownProjectError, match="no project 'x'"):
        build_container(stage.catalog, "x", 0)
    with pytest.raises(StageOrderError, match="isn't scanned yet"):
        pending(stage.catalog, stage.name)
    stage.put(TREE)
    stage.scan()
    with pytest.raises(StageOrderError, match="no containers yet"):
        pending(stage.catalog, stage.name)
    stage.plan()
    with pytest.raises(StageOrderError, match="no container 99"):
        stage.build(99)


def build_one(url: str, answers: Any) -> None:
    answers.put(build_container(Catalog(url), "p", 0, BUILDING)[1])


def test_two_builders_of_one_container_build_it_once(stage: Scene, catalog_url: str) -> None:
    stage.put({b"f%03d" % k: bytes(k) for k in range(400)})
    stage.scan()
    stage.plan()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    builders = [context.Process(target=build_one, args=(catalog_url, answers)) for _ in range(2)]
    for builder in builders:
        builder.start()
    built = sorted(answers.get(timeout=60) for _ in builders)
    for builder in builders:
        builder.join()
    assert built == [False, True]
    assert len(stage.in_staging()) == 1


def test_a_builder_that_was_overtaken_takes_the_others_receipt(
    stage: Scene, catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    real = build_job.build_car

    def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(build_job, "build_car", real)
        built = real(*arguments, **options)
        cars.write_receipt(Catalog(catalog_url), containers.rows(stage.catalog, stage.name)[0].id, built, 0.0)
        raise BusyError("another process took over")

    monkeypatch.setattr(build_job, "build_car", overtaken)
    monkeypatch.setattr(blitz, "_PAUSE", 0.0)
    built, new = stage.build(0)
    assert not new
    assert stage.in_staging() == [built.file_name]


def test_progress_is_exact_and_leaves_no_task(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    size = stage.plan().containers[0].car_size
    steps: list[int] = []
    running: list[str] = []

    def step(done: int) -> None:
        steps.append(done)
        running.extend(str(task.task) for task in progress.running(stage.catalog, stage.name))

    stage.build(0, progress=step)
    assert sum(steps) == size
    assert set(running) == {"build 000000"}
    assert progress.running(stage.catalog, stage.name) == []


def test_look_up_leads_from_names_to_cids_and_back(stage: Scene) -> None:
    rows = stage.run(TREE)
    by_path = list(find.find_path(stage.catalog, "big"))
    assert [found.shard for found in by_path] == list(range(9))
    assert {found.file_cid for found in by_path} == {
        cid.to_text(root_cid(bytes(stage.target / "big"), PROFILE))
    }
    assert [found.path for found in find.find_path(stage.catalog, "d")] == [f"d/{k:02d}" for k in range(40)]
    (one,) = find.find_path(stage.catalog, "d/07", "p")
    assert [found.path for found in find.find_cid(stage.catalog, one.cid or "")] == ["d/07"]
    assert one.file_name in {row.file_name for row in rows}
    assert {found.path for found in find.find_cid(stage.catalog, by_path[0].file_cid or "")} == {"big"}
    assert list(find.find_path(stage.catalog, "d/07", "other")) == []
    with pytest.raises(ValueError, match="not a CID"):
        list(find.find_cid(stage.catalog, "Qm123"))


def test_shards_of_a_receipt_are_those_of_the_plan(stage: Scene) -> None:
    stage.run(TREE)
    with stage.catalog.read() as connection:
        planned = connection.execute(sa.select(shard.c.container_id, shard.c.position)).all()
        built = connection.execute(sa.select(built_shard.c.container_id, built_shard.c.position)).all()
    assert sorted(planned) == sorted(built)
