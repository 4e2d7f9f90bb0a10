"""The catalog keeps the state in which a build read each shard."""

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.errors import SourceError

from .conftest import PROFILE, Scene, scene

UNIT = PROFILE.size_unit
TREE: scene.oracle.Content = {
    b"a": b"first",
    b"big": bytes(range(256)) * 20,
    b"e": {},
    b"link": scene.oracle.Link(b"a"),
}


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres").database()
        return url
    return f"sqlite:///{tmp_path}/home/catalog.db"


State = tuple[int | None, int | None]


def states(stage: Scene) -> dict[bytes, set[State]]:
    """The states in which the built shards of each path were read."""
    query = (
        sa.select(file.c.path, built_shard.c.read_ctime, built_shard.c.read_inode)
        .join(shard, shard.c.file_id == file.c.id)
        .join(built_shard, SAME_SHARD)
    )
    found: dict[bytes, set[State]] = {}
    for path, ctime, inode in stage.catalog.fetch(query):
        found.setdefault(bytes(path), set()).add((ctime, inode))
    return found


def of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ctime_ns, status.st_ino


def test_the_state_that_was_read_is_kept_and_not_the_scanned_one(make: Any) -> None:
    stage: Scene = make(car_size=1)
    stage.put(TREE)
    stage.scan()
    stage.plan()
    (stage.target / "a").chmod(0o600)  # no reason to refuse it
    stage.blitz()
    assert len(stage.cars()) > 3
    assert states(stage) == {
        b"a": {of(stage.target / "a")},
        b"big": {of(stage.target / "big")},
        b"e": {(None, None)},
        b"link": {(None, None)},
    }


def test_shards_of_a_file_that_changed_between_two_builds_have_states_of_their_own(make: Any) -> None:
    stage: Scene = make(car_size=1)
    stage.put(TREE)
    stage.scan()
    stage.plan()
    stage.build(1)
    big = stage.target / "big"
    before, first = big.stat(), of(big)
    with big.open("r+b") as file:
        file.write(b"sixteen bytes!!!")
    os.utime(big, ns=(0, before.st_mtime_ns))
    stage.blitz()
    assert states(stage)[b"big"] == {first, of(big)}
    assert first != of(big)
    assert states(stage)[b"a"] == {of(stage.target / "a")}


def test_a_file_that_changed_while_it_was_read_leaves_no_receipt(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    steps: list[int] = []

    def change(step: int) -> None:
        steps.append(step)
        if len(steps) == 1:
            (stage.target / "big").chmod(0o600)

    with pytest.raises(SourceError, match=r"big changed while it was read: run blitz again"):
        stage.build(0, options=BuildOptions(1, 1016), progress=change)
    assert stage.cars() == []
    assert stage.in_staging() == []
    assert len(stage.blitz()) == 2
    assert states(stage)[b"big"] == {of(stage.target / "big")}
