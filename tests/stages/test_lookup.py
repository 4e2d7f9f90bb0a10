"""Look-up over a built project: every path and CID leads to its bytes in a CAR, by index ranges on both databases."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.car import nodes
from ptolemy_core.catalog import find, located
from ptolemy_core.catalog.find import Found
from ptolemy_core.dag import cid
from ptolemy_core.reader import verify_car
from tests.car.sections import sections_of
from tests.dag import oracle
from tests.pipeline import postgres as server
from tests.pipeline.fixtures import postgres

from .conftest import PROFILE, Scene

__all__ = ["postgres"]

TREE: oracle.Content = {
    b"big": bytes(range(256)) * 37,
    b"year": {
        b"%04d" % year: {b"IMG_%02d.jpg" % k: b"%d %d" % (year, k) for k in range(30)}
        for year in (2018, 2019)
    },
    b"year!": b"sorts behind the folder",
    b"empty": b"",
    b"none": {},
    b"link": oracle.Link(b"year/2018"),
    b"wide": {b"%03d" % k: b"%d" % k for k in range(60)},
    b"\xff\xfe\n": {b"it's": b"awkward"},
}


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/catalog.db"
    running: server.Postgres = request.getfixturevalue("postgres")
    return running.database().replace("postgresql://", "postgresql+psycopg2://")


@pytest.fixture
def built(make: Any) -> Iterator[Scene]:
    stage: Scene = make()
    stage.run(TREE)
    yield stage
    stage.catalog.engine.dispose()


def paths_of(found: Iterator[Found]) -> list[str]:
    return [one.path for one in found]


def test_ranges_of_paths(built: Scene) -> None:
    catalog = built.catalog
    images = [f"year/{year}/IMG_{k:02d}.jpg" for year in (2018, 2019) for k in range(30)]
    assert paths_of(find.find_path(catalog, "year")) == images
    assert paths_of(find.find_prefix(catalog, "year")) == [*images, "year!"]
    assert paths_of(find.find_prefix(catalog, "year/2019/IMG_1")) == images[40:50]
    assert paths_of(find.find_glob(catalog, "year/*/IMG_?5.jpg")) == [
        path for path in images if path.endswith("5.jpg")
    ]
    assert paths_of(find.find_glob(catalog, "**/*.jpg")) == images
    assert paths_of(find.find_glob(catalog, "year*")) == ["year!"]
    assert paths_of(find.find_path(catalog, "year/2018/IMG_00")) == []
    assert paths_of(find.find_path(catalog, os.fsdecode(b"\xff\xfe\n"))) == ["\\xff\\xfe\\x0a/it's"]
    everything = paths_of(find.find_path(catalog, ""))
    assert len(everything) == len(built.files()) + 9  # big has ten shards
    assert paths_of(islice(find.find_path(catalog, ""), 70)) == everything[:70]


def test_versions_that_are_gone_are_found_if_asked(built: Scene) -> None:
    (built.target / "year!").write_bytes(b"another version")
    (built.target / "empty").unlink()
    built.run({})
    found = list(find.find_path(built.catalog, "year!", profile=PROFILE))
    assert [(one.size, one.current) for one in found] == [(23, False), (15, True)]
    assert found[0].version < found[1].version
    assert [one.size for one in find.find_path(built.catalog, "year!", gone=False)] == [15]
    assert paths_of(find.find_path(built.catalog, "empty", gone=False)) == []
    assert [one.current for one in find.find_path(built.catalog, "empty")] == [False]


def test_byte_range_is_a_car_of_its_own_behind_a_header(built: Scene, tmp_path: Path) -> None:
    """What an HTTP range request gets: a file's blocks and nothing else."""
    contents = {"link": TREE[b"link"], "empty": b"", "none": {}, "wide/007": b"7"}  # type: ignore[index]
    for path in ("big", "link", "empty", "none", "wide/007", "year/2019/IMG_03.jpg"):
        for one in find.find_path(built.catalog, path, profile=PROFILE):
            assert one.car_offset is not None
            assert one.car_length is not None
            assert one.cid
            assert one.file_name
            car = (built.staging / one.file_name).read_bytes()
            cut = car[one.car_offset : one.car_offset + one.car_length]
            own = cid.from_text(one.cid)
            blocks = sections_of(cut, 0)
            assert blocks[0].cid == own
            if path in contents:
                assert len(blocks) == 1
            small = tmp_path / "one.car"
            small.write_bytes(nodes.header(own) + cut)
            report = verify_car(small, PROFILE)
            assert report.findings == ()
            assert report.blocks == len(blocks)
            if one.kind == "file":
                data = b"".join(block.block for block in blocks if block.cid.startswith(cid.RAW_PREFIX))
                whole = (built.target / path).read_bytes()
                assert data == whole[one.start : one.start + one.length]


def test_every_cid_leads_back(built: Scene) -> None:
    for one in find.find_path(built.catalog, "", profile=PROFILE):
        assert one.cid
        by_cid = list(find.find_cid(built.catalog, one.cid, profile=PROFILE))
        assert one in by_cid
        assert {each.cid for each in by_cid} == {one.cid}
    for car in built.cars():
        held = list(find.find_cid(built.catalog, cid.to_text(car.payload_cid)))
        assert len(held) == car.items
        assert {each.container for each in held} == {car.number}
        for piece in (car.piece_cid_v1, car.piece_cid_v2):
            assert list(find.find_cid(built.catalog, cid.to_text(piece), "p")) == held
    assert list(find.find_cid(built.catalog, cid.to_text(car.payload_cid), "other")) == []


def test_a_cid_that_many_files_share_finds_all_in_the_order_of_their_cars(make: Any) -> None:
    stage = make(car_size=1)
    stage.run({b"%04d" % k: b"the same" for k in range(500)})
    (one,) = find.find_path(stage.catalog, "0123", profile=PROFILE)
    assert one.cid
    found = list(find.find_cid(stage.catalog, one.cid))
    assert [each.path for each in found] == [f"{k:04d}" for k in range(500)]
    assert len({each.container for each in found}) > 1
    assert len(list(find.find_cid(stage.catalog, one.cid, "p"))) == 500
    stage.catalog.engine.dispose()


def plan_of(stage: Scene, query: Any) -> str:
    """The database's plan of a statement."""
    values = {"project": "p", "low": b"a", "high": b"b", "scan": 0, "id": 0, "size": 10}
    values |= {"key": 1, "cid": b"c", "container": -1, "position": -1}
    compiled = query.compile(dialect=stage.catalog.engine.dialect)
    named = compiled.construct_params(values)
    bound: Any = tuple(named[name] for name in compiled.positiontup) if compiled.positional else named
    with stage.catalog.read() as connection:
        if stage.catalog.is_postgres:
            # few rows are cheapest read as a whole: what matters is that an index can serve the statement
            for way in ("seqscan", "sort", "bitmapscan"):
                connection.execute(sa.text(f"SET LOCAL enable_{way} = off"))
        explain = "EXPLAIN " if stage.catalog.is_postgres else "EXPLAIN QUERY PLAN "
        rows = connection.exec_driver_sql(explain + str(compiled), bound).all()
    return "\n".join(str(row[-1]) for row in rows)


def test_look_ups_read_ranges_of_indexes(built: Scene) -> None:
    for query in (
        located.files_in_range(bounded, gone) for bounded in (True, False) for gone in (True, False)
    ):
        plan = plan_of(built, query)
        assert "file_by_path" in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan.replace("Incremental Sort", "").replace("Sort Key", "")
        if not built.catalog.is_postgres:
            assert "(project=? AND path" in plan
    plan = plan_of(built, located.built(False))
    assert "built_shard_by_cid" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan.replace("Incremental Sort", "").replace("Sort Key", "")
    pages = [located.in_container(), located.built(False), located.built(True)]
    joined = [located._by_shard(page) for page in pages]
    for query in (*joined, *pages, located.cars_named(False), located.split_files(False)):
        plan = plan_of(built, query)
        assert "Seq Scan" not in plan
        # a page in memory is read as a whole, a table never
        assert all(line.startswith("SCAN anon_1") for line in plan.splitlines() if "SCAN" in line), plan
