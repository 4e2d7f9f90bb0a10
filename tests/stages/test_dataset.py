"""The data set's own root: the CID of the whole folder in one run, and a CAR of all nodes above the other CARs."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptolemy_core import commp
from ptolemy_core.car import folders as folder_tree
from ptolemy_core.car import nodes
from ptolemy_core.car.folders import FolderTree, Target, Targets
from ptolemy_core.car.root import root_cid
from ptolemy_core.car.spool import Spool
from ptolemy_core.catalog import find, roots
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.schema import built_shard, dataset_root
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import file_root
from ptolemy_core.errors import PlanError, ReceiptError, StageOrderError, StagingError
from ptolemy_core.reader import decode_node
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.staging.output import Output
from ptolemy_core.tree import SEPARATOR
from tests.car.scene import sizes
from tests.car.sections import sections_of
from tests.dag import oracle
from tests.dag.trees import folders

from .conftest import PROFILE, Scene

UNIT = PROFILE.size_unit
MIXED: oracle.Content = {
    b"big": bytes(range(256)) * 37,
    b"b.bin.ptolemy0": b"a real name",
    b"empty": b"",
    b"none": {},
    b"link": oracle.Link(b"big"),
    b"a": {b"a": {b"deep": bytes(3 * UNIT + 1)}, b"a!": b"x"},
    b"a!": b"sorts behind the folder a",
    b"wide": {b"%03d" % k: b"%d" % k for k in range(60)},
    b"folders": {b"%03d" % k: {b"file": b"%d" % k} for k in range(60)},
    b"\xff\xfe\n": {b"it's": b"awkward"},
}


def whole(stage: Scene) -> bytes:
    return root_cid(os.fsencode(stage.target), PROFILE)


def build(stage: Scene, **options: Any) -> tuple[RootRow, bool]:
    return build_root(stage.catalog, stage.name, profile=PROFILE, **options)


def blocks_of(path: Path) -> list[tuple[bytes, bytes]]:
    return [(section.cid, section.block) for section in sections_of(path.read_bytes())]


def reachable(root: bytes, held: dict[bytes, bytes]) -> list[bytes]:
    """CIDs in depth-first pre-order from `root`, through the blocks that are held."""
    out = []
    todo = [root]
    while todo:
        one = todo.pop()
        out.append(one)
        if one in held and one.startswith(cid.DAG_PB_PREFIX):
            todo += [link.cid for link in reversed(decode_node(held[one]).links)]
    return out


@pytest.mark.parametrize("shard_size", [1, 2, 3])
def test_root_is_that_of_the_whole_folder_in_one_run(make: Any, shard_size: int) -> None:
    stage = make(shard_size=shard_size)
    stage.run(MIXED)
    row, new = build(stage)
    assert new
    assert row.root_cid == whole(stage) == oracle.dag(MIXED, sizes(PROFILE)).cid
    assert (row.entries, row.left_out) == (len(stage.files()), 0)
    assert row.data_bytes == sum(file.size for file in stage.files() if file.kind == 0)


def test_its_car_and_the_others_are_the_whole_dag(stage: Scene) -> None:
    cars = stage.run(MIXED)
    row, _ = build(stage)
    own = blocks_of(stage.staging / row.file_name)
    assert len(own) == row.blocks
    others = dict(pair for car in cars for pair in blocks_of(stage.staging / car.file_name))
    wanted = [(node.cid, node.block) for node in oracle.dag(MIXED, sizes(PROFILE)).preorder()]
    assert {**others, **dict(own)}.items() >= dict(wanted).items()
    # parents first: what a walk from the root meets, of the blocks that it holds
    held = dict(own)
    assert [one for one, _ in own] == [one for one in reachable(row.root_cid, held) if one in held]
    for one, block in own:
        assert one == cid.of_digest(cid.DAG_PB, hashlib.sha256(block).digest())


def test_its_car_holds_nothing_that_the_others_hold_as_entries(stage: Scene) -> None:
    stage.run(MIXED)
    row, _ = build(stage)
    with stage.catalog.read() as connection:
        entries = {bytes(one) for one in connection.scalars(sa.select(built_shard.c.cid))}
    assert not entries & {one for one, _ in blocks_of(stage.staging / row.file_name)}


def test_its_piece_cids_sizes_and_sha256_are_those_of_the_file(stage: Scene) -> None:
    stage.run(MIXED)
    row, _ = build(stage)
    data = (stage.staging / row.file_name).read_bytes()
    piece = commp.PieceCommitment(data)
    assert row.car_size == len(data)
    assert row.sha256 == hashlib.sha256(data).digest()
    assert row.piece_cid_v1 == commp.piece_cid_v1(piece.digest())
    assert row.piece_cid_v2 == commp.piece_cid_v2(piece.digest(), len(data))
    assert row.piece_size == piece.piece_size
    assert row.file_name == cid.to_text(row.piece_cid_v1) + ".car"
    assert data.startswith(nodes.header(row.root_cid))


def test_again_does_nothing_and_a_missing_car_can_be_rebuilt(stage: Scene) -> None:
    stage.run(MIXED)
    row, _ = build(stage)
    path = stage.staging / row.file_name
    data = path.read_bytes()
    assert build(stage) == (row, False)
    path.unlink()
    assert build(stage) == (row, False)
    assert not path.exists()
    again, new = build(stage, rebuild=True)
    assert new
    assert again.root_cid == row.root_cid
    assert path.read_bytes() == data
    assert len(list(roots.rows(stage.catalog, "p"))) == 1
    assert stage.in_staging() == sorted({row.file_name, *(car.file_name for car in stage.cars())})


def test_each_scan_with_news_gives_a_root_and_the_old_ones_stay(stage: Scene) -> None:
    stage.run(MIXED)
    first, _ = build(stage)
    (stage.target / "new").write_bytes(bytes(2 * UNIT + 5))
    (stage.target / "a!").unlink()
    stage.run({})
    second, new = build(stage)
    assert new
    assert second.root_cid == whole(stage) != first.root_cid
    assert second.scan > first.scan
    (stage.target / "new").unlink()
    (stage.target / "a!").write_bytes(b"sorts behind the folder a")
    stage.run({})
    third, _ = build(stage)
    assert third.root_cid == first.root_cid
    assert [row.root_cid for row in roots.rows(stage.catalog, "p")] == [
        third.root_cid,
        second.root_cid,
        first.root_cid,
    ]


def test_a_scan_without_news_keeps_the_car_as_it_is(stage: Scene) -> None:
    stage.run(MIXED)
    first, _ = build(stage)
    (stage.staging / first.file_name).unlink()  # delivered, say
    stage.scan()
    second, new = build(stage)
    assert not new
    assert (second.root_cid, second.file_name) == (first.root_cid, first.file_name)
    assert second.scan > first.scan
    assert not (stage.staging / first.file_name).exists()


def test_an_empty_folder_has_a_root(stage: Scene) -> None:
    stage.scan()
    row, _ = build(stage)
    assert row.root_cid == whole(stage)
    assert (row.entries, row.blocks) == (0, 1)


def test_entries_that_no_car_can_hold_are_counted(stage: Scene) -> None:
    stage.put({b"file": b"data"})
    os.mkfifo(stage.target / "pipe")
    stage.run({})
    row, _ = build(stage)
    assert (row.entries, row.left_out) == (1, 1)
    os.unlink(stage.target / "pipe")
    assert row.root_cid == whole(stage)


def test_each_stage_before_it_is_asked_for(stage: Scene) -> None:
    with pytest.raises(StageOrderError, match="isn't scanned yet: run `ptolemy scan p` first"):
        build(stage)
    stage.put(MIXED)
    stage.scan()
    with pytest.raises(StageOrderError, match="still has files in no container: run `ptolemy run p`"):
        build(stage)
    stage.plan()
    with pytest.raises(StageOrderError, match="still has [0-9]+ CARs to build"):
        build(stage)


def test_a_rebuilt_root_that_differs_is_refused(stage: Scene) -> None:
    stage.run(MIXED)
    row, _ = build(stage)
    (stage.staging / row.file_name).unlink()
    with stage.catalog.write() as connection:
        connection.execute(dataset_root.update().values(root_cid=row.root_cid[:-1] + b"?"))
    with pytest.raises(ReceiptError, match="the root of 'p' at scan"):
        build(stage, rebuild=True)


def test_a_staging_folder_that_is_gone_is_a_clear_error(stage: Scene) -> None:
    stage.run({b"a": b"b"})
    os.rename(stage.staging, f"{stage.staging}-moved")
    with pytest.raises(StagingError, match="can't take the CAR of the data set's root"):
        build(stage)


def test_find_knows_the_root_and_its_piece(stage: Scene) -> None:
    stage.run(MIXED)
    row, _ = build(stage)
    for binary in (row.root_cid, row.piece_cid_v1, row.piece_cid_v2):
        (found,) = find.find_cid(stage.catalog, cid.to_text(binary), profile=PROFILE)
        assert (found.path, found.kind, found.container, found.current) == ("", "directory", None, True)
        assert (found.cid, found.file_name) == (cid.to_text(row.root_cid), row.file_name)
    assert list(find.find_cid(stage.catalog, cid.to_text(row.root_cid), "other")) == []


# the tree builder alone, against the obvious way, with entries made up


def columns(*targets: Target) -> Targets:
    """Targets as a tree takes them."""
    cids, tsizes, blocks = zip(*targets, strict=True)
    return Targets(cids, np.array(tsizes), np.array(blocks))


def entries_of(content: Any, profile: Profile, path: bytes = b"") -> list[tuple[bytes, Target]]:
    """Entries in path order, their DAGs by the oracle."""
    out: list[tuple[bytes, Target]] = []
    for name, below in sorted(content.items()):
        here = path + SEPARATOR + name if path else name
        if isinstance(below, dict) and below:
            out += entries_of(below, profile, here)
        else:
            node = oracle.dag(below, sizes(profile))
            out.append((here, Target(node.cid, node.tsize)))
    return out


@given(folders(), st.sampled_from([60, 150, 400, 262_144]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_tree_has_the_oracles_root_and_order(tmp_path: Path, content: Any, threshold: int) -> None:
    profile = Profile(chunk=16, width=2, hamt_threshold=threshold)
    dag = oracle.dag(content, sizes(profile))
    with Spool(str(tmp_path)) as spool:
        tree = FolderTree(spool, profile)
        entries = entries_of(content, profile)
        half = len(entries) // 2
        for part in filter(None, (entries[:half], entries[half:])):
            names, targets = zip(*part, strict=True)
            tree.add(names, columns(*targets))
        root = tree.finish()
        found = b"".join(spool.sections())
        assert len(found) == spool.span
    assert (root.cid, root.tsize) == (dag.cid, dag.tsize)
    below = {id(node) for node in inner(dag, {target.cid for _, target in entries})}
    assert found == b"".join(oracle.section(node) for node in dag.preorder() if id(node) in below)


def inner(node: oracle.Node, entries: set[bytes]) -> list[oracle.Node]:
    """The nodes above the entries."""
    if node.cid in entries:
        return []
    return [node, *(each for child in node.children for each in inner(child, entries))]


def test_a_file_of_more_than_1024_shards_has_its_upper_nodes_in_order(tmp_path: Path) -> None:
    """Three levels of nodes above the shards, under widths and sizes that a data set of many TiB has in GiB."""
    profile = Profile(chunk=4, width=3, hamt_threshold=400)
    data = bytes(k % 251 for k in range(profile.size_unit * 31 + 2))
    dag = oracle.file(data, sizes(profile))
    level = [dag]
    while level[0].children and level[0].children[0].children:
        level = [child for node in level for child in node.children]
    lowest = b"".join(node.cid[4:] for node in level[:-1]) + level[-1].children[0].cid[4:]
    root = file_root(len(data), lowest, profile, bare_leaf=True)
    assert (root.cid, root.tsize) == (dag.cid, dag.tsize)
    found = [node for node in walk(root) if node.block]
    held = {node.cid for node in level[:-1]}
    assert [node.cid for node in found] == [
        node.cid for node in dag.preorder() if node.children and node.cid not in held
    ]


def walk(node: Any) -> list[Any]:
    return [node, *(each for child in node.children for each in walk(child))]


def test_names_that_no_hamt_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_tree.hamt, "name_hash", lambda name: bytes(8))
    with Spool(str(tmp_path)) as spool:
        tree = FolderTree(spool, Profile(hamt_threshold=50))
        for name in (b"one", b"two"):
            tree.add([name], columns(Target(cid.of_digest(cid.RAW, bytes(32)), 1)))
        with pytest.raises(PlanError, match="have the same hash, rename one of them: b'one, two'"):
            tree.finish()


def test_an_interrupt_leaves_no_named_root_without_a_record(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(MIXED)
    before = stage.in_staging()
    publish = Output.publish

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        publish(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Output, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(stage)
    (row,) = roots.rows(stage.catalog, stage.name)
    assert stage.in_staging() == sorted([*before, row.file_name])
