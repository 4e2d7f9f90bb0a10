"""CARs of random trees are the oracle's, byte for byte, with any threads and units; what a build reports holds."""

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core import commp
from ptolemy_core.car import BuiltCar, fill
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.root import root_cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import Items, Layout, compute_layout
from ptolemy_core.reader import Expected, verify_car
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import Kind
from tests.dag import oracle
from tests.dag.trees import contents, folders

from . import scene

UNITS = st.sampled_from([127, 254, 1016, 127 << 16])
THREADS = st.sampled_from([1, 2, 5])
PROFILES = st.builds(
    Profile, chunk=st.integers(1, 8), width=st.integers(2, 4), hamt_threshold=st.sampled_from([4, 120, 400])
)


@given(contents(), PROFILES, UNITS, THREADS)
@settings(deadline=None, max_examples=250)
def test_car_of_any_tree_is_the_oracles(
    content: oracle.Content, profile: Profile, unit: int, threads: int
) -> None:
    expected = oracle.dag(content, scene.sizes(profile))
    with tempfile.TemporaryDirectory() as folder:
        path = scene.write_tree(folder + "/tree", content)
        built, _ = scene.build(path, folder, profile, unit=unit, threads=threads)
        data = Path(folder, built.file_name).read_bytes()
        assert data == oracle.car(expected)
        assert root_cid(path, profile) == built.payload_cid == expected.cid
        report = verify_car(Path(folder, built.file_name), profile, expect=claims(built))
        assert report.findings == ()
    check_claims(built, data)


def claims(built: BuiltCar) -> Expected:
    return Expected(
        payload_cid=built.payload_cid,
        piece_cid_v1=built.piece_cid_v1,
        piece_cid_v2=built.piece_cid_v2,
        car_size=built.car_size,
        piece_size=built.piece_size,
        sha256=built.sha256,
    )


def check_claims(built: BuiltCar, data: bytes) -> None:
    """What a build says of its CAR is so."""
    piece = commp.PieceCommitment(data)
    assert built.piece_cid_v1 == commp.piece_cid_v1(piece.digest())
    assert built.piece_cid_v2 == commp.piece_cid_v2(piece.digest(), len(data))
    assert built.file_name.startswith("baga6ea4seaq")
    assert built.file_name.endswith(".car")
    assert built.sha256 == hashlib.sha256(data).digest()
    assert (built.car_size, built.piece_size) == (len(data), piece.piece_size)


@given(folders(), PROFILES, UNITS, THREADS, st.data())
@settings(deadline=None, max_examples=150)
def test_built_items_name_cids_offsets_and_lowest_nodes(
    content: oracle.Content, profile: Profile, unit: int, threads: int, data: st.DataObject
) -> None:
    """Also where files are split: each shard is a file of its own, named after its number."""
    with tempfile.TemporaryDirectory() as folder:
        path = scene.write_tree(folder + "/tree", content)
        items, source = scene.whole(path)
        sizes = dict(zip(items.paths, items.sizes.tolist(), strict=True))
        files = [p for p, kind in zip(items.paths, items.kinds, strict=True) if kind == Kind.FILE]
        chosen = data.draw(st.sets(st.sampled_from(files)), "split") if files else set()
        shards = {name: cut(sizes[name], profile.size_unit) for name in chosen}
        items, source = scene.with_shards(items, source, shards)
        layout = compute_layout(items, profile)
        built = build_car(layout, source, folder, ".part", BuildOptions(threads, unit, sha256=True))
        car = Path(folder, built.file_name).read_bytes()
    assert isinstance(content, dict)
    root = oracle.dag(with_shards(content, shards, b""), scene.sizes(profile))
    assert car == oracle.car(root)
    check_claims(built, car)
    blobs = dict(files_of(content, b""))
    for number, item in enumerate(built.items):
        body, lowest = expected_item(items, number, blobs, profile)
        assert item.cid == body.cid
        assert car[item.car_offset :].startswith(oracle.section(body))
        assert item.nodes == lowest


def cut(size: int, unit: int) -> list[tuple[int, int, int]]:
    count = max(1, -(-size // unit))
    return [(k, k * unit, min(unit, size - k * unit)) for k in range(count)]


def with_shards(
    content: dict[bytes, oracle.Content], shards: dict[bytes, list[tuple[int, int, int]]], above: bytes
) -> oracle.Content:
    out: dict[bytes, oracle.Content] = {}
    for name, below in content.items():
        path = above + b"\0" + name if above else name
        if isinstance(below, dict):
            out[name] = with_shards(below, shards, path)
        elif path in shards:
            assert isinstance(below, bytes)
            for number, start, length in shards[path]:
                out[name + b".ptolemy%d" % number] = below[start : start + length]
        else:
            out[name] = below
    return out


def files_of(content: oracle.Content, path: bytes) -> list[tuple[bytes, oracle.Content]]:
    if not isinstance(content, dict):
        return [(path, content)]
    below = [files_of(entry, path + b"\0" + name if path else name) for name, entry in content.items()]
    return [(path, content), *itertools.chain.from_iterable(below)]


def expected_item(
    items: Items, number: int, blobs: dict[bytes, oracle.Content], profile: Profile
) -> tuple[oracle.Node, bytes]:
    content = blobs[items.paths[number]]
    if not isinstance(content, bytes):
        return oracle.dag(content, scene.sizes(profile)), b""
    start = int(items.starts[number])
    node = oracle.file(content[start : start + int(items.sizes[number])], scene.sizes(profile))
    if items.shards[number] < 0:
        return node, b""
    lowest = [n for n in node.preorder() if n.children and not n.children[0].children] or [node]
    return node, b"".join(each.cid[4:] for each in lowest)


TREE: oracle.Content = {
    b"a": {b"%03d" % k: bytes([k % 251]) * (k % 40) for k in range(60)},
    b"big": bytes(range(256)) * 40,
    b"empty": {},
    b"link": oracle.Link(b"a/001"),
    b"none": b"",
}


def test_bytes_are_the_same_for_any_threads_and_units(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    expected = oracle.car(oracle.dag(TREE, scene.sizes(scene.SMALL)))
    for threads, power in itertools.product((1, 2, 5, 16), (0, 1, 3, 8)):
        built, _ = scene.build(path, tmp_path, scene.SMALL, threads=threads, unit=127 << power)
        assert (tmp_path / built.file_name).read_bytes() == expected
        check_claims(built, expected)


def test_fill_closes_every_unit_once_and_whole(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    items, source = scene.whole(path)
    layout = compute_layout(items, scene.SMALL)
    expected = oracle.car(oracle.dag(TREE, scene.sizes(scene.SMALL)))
    closed: dict[int, bytes] = {}
    lock = threading.Lock()

    def close(number: int, data: memoryview) -> None:
        with lock:
            assert number not in closed
            closed[number] = bytes(data)

    digests = fill(layout, source, close, BuildOptions(threads=3, unit=254))
    assert b"".join(closed[number] for number in sorted(closed)) == expected
    assert {len(data) for number, data in closed.items() if number < len(closed) - 1} == {254}
    assert_digests(layout, digests, expected)


def assert_digests(layout: Layout, digests: "np.typing.NDArray[np.uint8]", car: bytes) -> None:
    for block in range(len(layout)):
        begin = layout.data_offset(block)
        data = car[begin : begin + int(layout.size[block])]
        assert digests[block].tobytes() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_adds_up_to_the_cars_size(tmp_path: Path, threads: int) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    steps: list[int] = []
    built, layout = scene.build(
        path, tmp_path, scene.SMALL, unit=1016, threads=threads, progress=steps.append
    )
    assert sum(steps) == built.car_size == layout.car_size
    assert min(steps) > 0


def test_root_progress_adds_up_to_what_it_started_with(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    started: list[int] = []
    steps: list[int] = []
    root_cid(path, scene.SMALL, started=started.append, progress=steps.append)
    assert started == [sum(steps)]


def test_a_second_build_replaces_the_first_with_the_same_file(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    staging = tmp_path / "staging"
    staging.mkdir()
    first, _ = scene.build(path, staging, scene.SMALL)
    (staging / ".test.car.part").write_bytes(b"what a killed try left behind" * 10_000)
    second, _ = scene.build(path, staging, scene.SMALL)
    assert first == second
    assert [entry.name for entry in staging.iterdir()] == [first.file_name]


def test_leaves_far_larger_than_a_unit(tmp_path: Path) -> None:
    """Units that lie inside one leaf, and leaves that begin and end in the same unit as others."""
    profile = Profile(chunk=4000, width=3, hamt_threshold=300)
    content: oracle.Content = {b"f%d" % k: bytes(range(250)) * (k * 13) for k in range(9)}
    path = scene.write_tree(tmp_path / "tree", content)
    expected = oracle.car(oracle.dag(content, scene.sizes(profile)))
    for unit in (127, 508, 8128):
        built, _ = scene.build(path, tmp_path, profile, unit=unit, threads=4)
        assert (tmp_path / built.file_name).read_bytes() == expected


WITHOUT_COMPILED_CODE = """
import sys
from tests.car import scene
from tests.car.test_build_bytes import TREE

built, _ = scene.build(scene.write_tree(sys.argv[1] + "/tree", TREE), sys.argv[1], scene.SMALL, unit=1016)
print(built.sha256.hex())
"""


def test_bytes_are_the_same_without_compiled_code(tmp_path: Path) -> None:
    folders = [str(Path(__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PTOLEMY_KERNEL": "python"}
    command = [sys.executable, "-c", WITHOUT_COMPILED_CODE, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    expected = oracle.car(oracle.dag(TREE, scene.sizes(scene.SMALL)))
    assert run.stdout.strip() == hashlib.sha256(expected).hexdigest(), run.stderr


def test_sha256_is_left_out_where_it_is_not_asked_for(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    with_it, _ = scene.build(path, tmp_path, scene.SMALL)
    without, _ = scene.build(path, tmp_path, scene.SMALL, sha256=False)
    assert without.sha256 is None
    assert without == replace(with_it, sha256=None)
