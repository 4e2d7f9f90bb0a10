"""Verification finds every damage: of the CARs' bytes, and of what the catalog says of them."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog.schema import built_shard, car, file, shard
from ptolemy_core.errors import StageOrderError
from ptolemy_core.reader import dagpb
from ptolemy_core.stages.verify import Verifying, verify
from tests.dag import oracle

from .conftest import PROFILE, Scene

TREE: oracle.Content = {
    b"a": b"first",
    b"b": b"second",
    b"big": bytes(range(256)) * 20,
    b"d": {b"link": oracle.Link(b"../a"), b"void": {}},
    b"x.ptolemy0": {b"y.ptolemy1": b"real"},
}


@pytest.fixture(params=[256, 0], ids=["one by one", "many at once"])
def built(stage: Scene, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(dagpb, "_MANY", request.param)
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


# Going on, and comparing with the source


def settled(stage: Scene) -> None:
    """Verify, and let the CARs' times of change be older than the verification."""
    time.sleep(0.05)
    assert all(verdict.ok for verdict in stage.verify())


def known(stage: Scene) -> list[bool]:
    return [verdict.known for verdict in stage.verify(again=False)]


def test_what_passed_is_not_read_again(built: Scene) -> None:
    settled(built)
    seen: list[int] = []
    verdicts = built.verify(again=False, progress=seen.append)
    assert all(verdict.ok and verdict.known for verdict in verdicts)
    assert seen == []
    assert not any(verdict.known for verdict in built.verify(again=True))


def test_interrupted_it_goes_on_with_the_others(built: Scene) -> None:
    settled(built)
    change(built, car.update().values(verified_at=None))
    left = built.cars()[0].car_size

    def progress(step: int) -> None:
        nonlocal left
        left -= step
        if left < 0:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        list(verify(built.catalog, built.name, Verifying(at_once=1, profile=PROFILE), progress=progress))
    first = [row.verified_at is not None for row in built.cars()]
    assert first[0]
    assert not first[-1]
    assert known(built) == first
    assert all(known(built))


@pytest.mark.parametrize("how", ["flip", "touch", "replace", "cut", "unlink"])
def test_a_car_that_changed_since_is_read_again(built: Scene, how: str) -> None:
    settled(built)
    path = first_car(built)
    data = path.read_bytes()
    times = os.stat(path)
    if how == "flip":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a forged mtime doesn't help
    elif how == "touch":
        path.touch()
    elif how == "replace":
        other = path.with_name("other")
        other.write_bytes(data[:-1] + b"?")
        other.rename(path)
    elif how == "cut":
        os.truncate(path, 100)
    else:
        path.unlink()
    verdicts = built.verify(again=False)
    assert [verdict.known for verdict in verdicts] == [False] + [True] * (len(verdicts) - 1)
    assert verdicts[0].ok == (how == "touch")
    # and what failed isn't taken for verified later
    assert (built.cars()[0].verified_at is not None) == (how in ("touch", "unlink"))


def test_source_that_is_the_same(built: Scene) -> None:
    seen: list[int] = []
    assert all(verdict.ok for verdict in built.verify(source=True, progress=seen.append))
    assert sum(seen) == sum(row.car_size + row.data_bytes for row in built.cars())


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("a", b"fIrst", "a differs from the source in bytes 0 to 4; it was modified after the scan"),
        ("a", b"first, longer", "a has 13 bytes in the source, 5 when it was scanned"),
        ("a", None, "a can't be read in the source (No such file or directory)"),
        ("big", bytes(range(256)) * 19 + bytes(256), "big differs from the source in bytes 4608 to 5119"),
        ("d/link", b"a file now", "d/link can't be read in the source (Invalid argument)"),
        ("d/link", "elsewhere", "d/link leads elsewhere in the source"),
        ("a", "d/link", "a can't be read in the source (Too many levels of symbolic links)"),
        ("d/void", b"", "d/void is no longer a folder in the source"),
    ],
)
@pytest.mark.parametrize("again", [True, False])
def test_source_that_differs_is_named(
    built: Scene, path: str, content: bytes | str | None, problem: str, again: bool
) -> None:
    settled(built)
    place = built.target / path
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink()
    if isinstance(content, bytes):
        place.write_bytes(content)
    elif content is not None:
        place.symlink_to(content)
    verdicts = built.verify(source=True, again=again)
    found = [found for verdict in verdicts for found in verdict.problems]
    assert any(problem in each for each in found), found
    assert all(row.verified_at for row in built.cars())  # the CARs are right


def test_source_bit_that_flipped_under_the_same_time_is_found(built: Scene) -> None:
    place = built.target / "big"
    times = os.stat(place)
    data = bytearray(place.read_bytes())
    data[3000] ^= 16
    place.write_bytes(data)
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    found = [found for verdict in built.verify(source=True) for found in verdict.problems]
    assert [each.split(": ", 1)[1] for each in found] == ["big differs from the source in bytes 2560 to 3071"]
