"""An encrypted project goes through all stages and comes back: sizes, names, links, split files."""

import random
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.encryption import Segments
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.stages.dataset import build_root
from tests.dag import oracle
from tests.restore.trees import read_tree
from tests.stages.conftest import PROFILE, Scene

CANARY = b"canary in a coal mine"


def data(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


SIZES = (1, 455, 456, 457, 511, 512, 951, 952, 953, 968, 1024, 3000)
"""Around the ends of the first two segments, of 456 and 496 bytes."""

TREE: oracle.Content = {
    b"empty": b"",
    b"empty folder": {},
    b"link": oracle.Link(b"some/where " + CANARY),
    b"b.bin.ptolemy0": b"looks like a shard",
    b"\xff not utf-8 \n": data(40),
    b"deep": {b"deeper": {b"deepest": data(2000)}, b"\xc3\xa9t\xc3\xa9": CANARY * 30},
    b"many": {b"file %d" % k: data(k) for k in range(12)},
} | {b"size %d" % size: data(size) for size in SIZES}


def restored(stage: Scene, to: Path, **options: Any) -> oracle.Content:
    report = ProjectRestore(stage.catalog, stage.name, profile=PROFILE, **options).write(str(to).encode())
    assert report.ok, report.problems
    return read_tree(to)


@pytest.mark.parametrize("names", [True, False])
def test_what_goes_through_all_stages_comes_back(make: Any, tmp_path: Path, names: bool) -> None:
    stage = make(encrypt_names=names)
    rows = stage.run(TREE)
    assert len(rows) > 3
    assert stage.problems() == []
    assert [p for v in stage.verify(source=True) for p in v.problems] == []
    build_root(stage.catalog, stage.name, profile=PROFILE)
    assert restored(stage, tmp_path / "out") == TREE


def test_planned_sizes_are_exact_and_split_files_are_cut_between_segments(secret: Scene) -> None:
    secret.put({b"f": data(3000)})
    secret.scan()
    planned = secret.plan().containers
    rows = secret.blitz()
    assert [row.car_size for row in rows] == [row.car_size for row in planned]
    assert sum(row.data_bytes for row in rows) == Segments(3000, PROFILE.chunk).size
    assert secret.problems() == []
