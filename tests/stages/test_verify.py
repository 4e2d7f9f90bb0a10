"""Verification finds every damage: of the CARs' bytes, and of what the catalog says of them."""

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dag import oracle

from ptolemy_core.catalog.schema import built_shard, car, file, shard
from ptolemy_core.errors import StageOrderError

from .conftest import Scene

TREE: oracle.Content = {
    b"a": b"first",
    b"b": b"second",
    b"big": bytes(range(256)) * 20,
    b"d": {b"link": oracle.Link(b"../a"), b"void": {}},
    b"x.ptolemy0": {b"y.ptolemy1": b"real"},
}


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    assert stage.problems() == []
    return stage


def first_car(stage: Scene) -> Path:
    return stage.staging / stage.cars()[0].file_name


def test_verdicts_name_every_car_and_count(built: Scene) -> None:
    seen: list[int] = []
    verdicts = built.verify(progress=seen.append)
    assert [verdict.car.file_name for verdict in verdicts] == [row.file_name for row in built.cars()]
    assert all(verdict.ok for verdict in verdicts)
    assert sum(seen) == sum(row.car_size for row in built.cars())
    assert sum(verdict.entries for verdict in verdicts) == 5 + 4  # big in five shards; `void` is a folder
    assert [verdict.car.number for verdict in built.verify(number=1)] == [1]


def test_flipped_bit_is_found_wherever_it_is(built: Scene) -> None:
    path = first_car(built)
    data = path.read_bytes()
    for at in [*range(0, 60), *range(60, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert any(path.name in problem for problem in built.problems()), at


@pytest.mark.parametrize("size", [0, 58, 59, 1000])
def test_truncated_car_is_found(built: Scene, size: int) -> None:
    os.truncate(first_car(built), size)
    assert built.problems()


def test_longer_car_is_found(built: Scene) -> None:
    with first_car(built).open("ab") as car_file:
        car_file.write(bytes(10))
    assert built.problems()


def test_missing_car_is_found_and_the_others_verified(built: Scene) -> None:
    first_car(built).unlink()
    verdicts = built.verify()
    assert [verdict.ok for verdict in verdicts] == [False] + [True] * (len(verdicts) - 1)
    assert "can't be read: No such file" in verdicts[0].problems[0]


def test_another_cars_bytes_are_found(built: Scene) -> None:
    one, two = (built.staging / row.file_name for row in built.cars()[:2])
    one.write_bytes(two.read_bytes())
    assert built.problems()


def of(path: bytes, number: int = -1) -> Any:
    """The shard row of this path, as a condition on built_shard."""
    return sa.exists(
        sa.select(shard.c.position)
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.container_id == built_shard.c.container_id, shard.c.position == built_shard.c.position)
        .where(file.c.path == path, shard.c.number == number)
    )


def change(stage: Scene, statement: Any) -> None:
    with stage.catalog.write() as connection:
        assert connection.execute(statement).rowcount >= 1


def test_two_swapped_cids_in_the_catalog_are_found(built: Scene) -> None:
    with built.catalog.read() as connection:
        cids = [connection.scalar(sa.select(built_shard.c.cid).where(of(name))) for name in (b"a", b"b")]
    for name, value in zip((b"b", b"a"), cids, strict=True):
        change(built, built_shard.update().where(of(name)).values(cid=value))
    problems = built.problems()
    assert [problem.split(": ")[1] for problem in problems] == [
        "a has another CID than the catalog says",
        "b has another CID than the catalog says",
    ]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (built_shard.update().where(of(b"a")).values(car_offset=5), "a has another offset"),
        (built_shard.update().where(of(b"big", 2)).values(cid=bytes(36)), "big has another CID"),
        (file.update().where(file.c.path == b"a").values(path=b"aa"), "aa is missing"),
        (file.update().where(file.c.path == b"a").values(path=b"aa"), "a isn't in the scan"),
        (file.update().where(file.c.path == b"a").values(kind=2), "a has another kind"),
        (file.update().where(file.c.path == b"d\0void").values(path=b"d\0w"), "folder d/w is missing"),
        (
            file.update().where(file.c.path == b"d\0void").values(path=b"d\0w"),
            "folder d/void isn't in the scan",
        ),
        (
            file.update().where(file.c.path == b"x.ptolemy0\0y.ptolemy1").values(path=b"x\0y"),
            "x.ptolemy0/y.ptolemy1 isn't in the scan",
        ),
        (car.update().values(payload_cid=bytes(36)), "payload-mismatch"),
        (car.update().values(piece_cid_v1=bytes(39)), "piece-mismatch"),
        (car.update().values(piece_cid_v2=bytes(39)), "piece-mismatch"),
        (car.update().values(piece_size=1 << 30), "piece-mismatch"),
        (car.update().values(sha256=bytes(32)), "sha256-mismatch"),
        (car.update().values(car_size=7), "size-mismatch"),
    ],
)
def test_any_other_claim_of_the_catalog_is_held_against_the_car(
    built: Scene, statement: Any, problem: str
) -> None:
    change(built, statement)
    assert any(problem in found for found in built.problems()), built.problems()


def test_shard_numbers_are_compared(built: Scene) -> None:
    in_big = shard.c.file_id.in_(sa.select(file.c.id).where(file.c.path == b"big"))
    for old, new in ((0, 100), (1, 0), (100, 1)):
        change(built, shard.update().where(in_big, shard.c.number == old).values(number=new))
    assert any("big" in problem for problem in built.problems())


def test_nothing_built_is_said(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    with pytest.raises(StageOrderError, match="no CAR built yet: run `ptolemy blitz p` first"):
        stage.verify()
    stage.build(0)
    with pytest.raises(StageOrderError, match="no CAR of container 1 built yet"):
        stage.verify(number=1)
