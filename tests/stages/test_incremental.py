"""What later scans find: unchanged files keep their CARs, versions and changes can be listed, returns are known."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ptolemy_core.catalog import Catalog, history, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.coverage import uncovered
from ptolemy_core.errors import StageOrderError
from ptolemy_core.project import parse_project
from ptolemy_core.source.walk import walk
from ptolemy_core.stages.scan import scan
from tests.car import nobody, scene
from tests.dag import oracle
from tests.dag.trees import folders

from .conftest import Crash, Scene, small_batches

TREE: oracle.Content = {
    b"a": b"12345",
    b"big": bytes(range(256)) * 9,
    b"d": {b"x": b"1", b"odd\n'\xff": b"22"},
    b"link": oracle.Link(b"a"),
    b"void": {},
}


def again(stage: Scene) -> list[int]:
    """Scan, plan and blitz once more; numbers of the containers that are new."""
    before = {row.number for row in stage.cars()}
    stage.scan()
    stage.plan()
    rows = stage.blitz()
    assert uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []
    return sorted({row.number for row in rows} - before)


def changed(stage: Scene, number: int | None = None) -> list[tuple[str, str]]:
    number = history.last_scan(stage.catalog, stage.name, number)
    return [(one.what, one.path) for one in history.changes(stage.catalog, stage.name, number)]


def versions(stage: Scene, path: str) -> list[history.Version]:
    return list(history.versions(stage.catalog, stage.name, path))


def unverified(cars: list[CarRow]) -> list[CarRow]:
    """The same without their last verification."""
    return [replace(car, verified_at=None, file_ctime=None, file_inode=None) for car in cars]


def test_unchanged_files_keep_their_cars_and_only_news_go_to_new_ones(stage: Scene) -> None:
    first = stage.run(TREE)
    assert again(stage) == []
    (stage.target / "a").write_bytes(b"another")
    (stage.target / "new").write_bytes(b"n")
    (stage.target / "d" / "x").unlink()
    (number,) = again(stage)
    assert unverified(stage.cars())[: len(first)] == unverified(first)
    assert stage.cars()[-1].items == 2
    assert changed(stage) == [("changed", "a"), ("gone", "d/x"), ("added", "new")]
    old, new = versions(stage, "a")
    assert (old.size, old.containers, old.gone_scan) == (5, [0], new.first_scan)
    assert (new.size, new.containers, new.gone_scan) == (7, [number], None)
    assert new.cars == [stage.cars()[-1].file_name]
    (gone,) = versions(stage, "d/x")
    assert (gone.gone_scan, gone.containers) == (new.first_scan, [0])
    (big,) = versions(stage, "big")
    assert (big.size, big.first_scan) == (2304, old.first_scan)


def test_a_file_that_only_got_another_mtime_is_a_new_version(stage: Scene) -> None:
    stage.run(TREE)
    os.utime(stage.target / "a", ns=(0, 123))
    assert len(again(stage)) == 1
    assert changed(stage) == [("changed", "a")]
    assert [one.mtime for one in versions(stage, "a")][1:] == [123]


def test_a_file_that_returns_as_it_was_keeps_its_car(stage: Scene) -> None:
    stage.run(TREE)
    cars = stage.cars()
    away = stage.target.with_name("away")
    first = history.last_scan(stage.catalog, stage.name)
    stage.target.rename(away)
    stage.target.mkdir()
    assert stage.scan(accept_loss=True).gone == 6
    assert [what for what, _ in changed(stage)] == ["gone"] * 6
    stage.target.rmdir()
    away.rename(stage.target)
    result = stage.scan()
    assert (result.added, result.changed, result.gone, result.returned) == (6, 0, 0, 6)
    assert [what for what, _ in changed(stage)] == ["added"] * 6
    assert stage.plan().new == 0
    assert stage.blitz() == cars
    assert uncovered(stage.catalog, stage.name) == []
    (one,) = versions(stage, "a")
    assert (one.first_scan, one.gone_scan, one.absences) == (first, None, [(first + 1, first + 2)])
    assert changed(stage, first + 1)[0] == ("gone", "a")
    assert len(changed(stage, first)) == 6


def test_a_file_that_returns_to_an_older_version_keeps_that_ones_car(stage: Scene) -> None:
    stage.run(TREE)
    path = stage.target / "a"
    times = os.stat(path)
    path.write_bytes(b"another")
    assert len(again(stage)) == 1
    path.write_bytes(b"12345")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = stage.scan()
    assert (result.changed, result.returned) == (1, 1)
    assert changed(stage) == [("changed", "a")]
    assert stage.plan().new == 0
    assert [(one.size, one.gone_scan is None) for one in versions(stage, "a")] == [(5, True), (7, False)]
    assert again(stage) == []


def test_a_file_that_returns_with_other_bytes_of_the_same_size_is_new(stage: Scene) -> None:
    stage.run(TREE)
    (stage.target / "a").unlink()
    stage.scan()
    (stage.target / "a").write_bytes(b"54321")
    result = stage.scan()
    assert (result.added, result.returned) == (1, 0)
    assert stage.plan().new == 1


def test_a_returned_file_that_was_never_in_a_container_is_planned(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    away = stage.target.with_name("away")
    (stage.target / "a").rename(away)
    stage.scan()
    away.rename(stage.target / "a")
    stage.scan()
    stage.plan()
    stage.blitz()
    assert uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []


def test_a_split_file_of_which_only_some_shards_were_built_is_planned_anew_when_it_returns(
    stage: Scene,
) -> None:
    stage.put({b"big": bytes(range(256)) * 40})
    stage.scan()
    assert len(stage.plan().containers) > 2
    stage.build(0)
    away = stage.target.with_name("away")
    (stage.target / "big").rename(away)
    stage.scan(accept_loss=True)
    stage.plan()
    stage.seal()  # half of a file that is gone has no CID of the whole, and stops nothing
    away.rename(stage.target / "big")
    assert stage.scan().returned == 0
    stage.plan()
    stage.blitz()
    assert uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []


def test_a_folder_that_becomes_a_file_and_back(stage: Scene) -> None:
    stage.run(TREE)
    away = stage.target.with_name("away")
    (stage.target / "d").rename(away)
    (stage.target / "d").write_bytes(b"a file now")
    assert len(again(stage)) == 1
    assert changed(stage) == [("added", "d"), ("gone", "d/odd\\x0a'\\xff"), ("gone", "d/x")]
    (stage.target / "d").unlink()
    away.rename(stage.target / "d")
    assert again(stage) == []
    assert changed(stage) == [("gone", "d"), ("added", "d/odd\\x0a'\\xff"), ("added", "d/x")]
    assert [(one.kind, one.size) for one in versions(stage, "d")] == [("file", 10), ("file", 2), ("file", 1)]


def test_new_rules_take_effect_with_the_next_scan_and_back(stage: Scene) -> None:
    cars = stage.run(TREE)
    projects.change(stage.catalog, stage.name, {"exclude": ["d/", "*i*"]})
    assert again(stage) == []
    assert changed(stage) == [
        ("gone", "big"),
        ("gone", "d/odd\\x0a'\\xff"),
        ("gone", "d/x"),
        ("gone", "link"),
        ("gone", "void"),
    ]
    projects.change(stage.catalog, stage.name, {"exclude": []})
    assert again(stage) == []
    assert len(changed(stage)) == 5
    assert unverified(stage.cars()) == unverified(cars)


def test_a_broken_off_scans_findings_count_to_the_next_finished_one(stage: Scene) -> None:
    stage.put({b"%04d" % k: b"x" for k in range(1500)})
    stage.scan()
    for k in range(0, 1500, 500):
        (stage.target / f"{k:04d}").unlink()
        (stage.target / f"{k:04d}-new").write_bytes(b"")

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        small_batches(patch, 1)
        patch.setattr("ptolemy_core.catalog.scans.finish", crash)
        with pytest.raises(Crash):
            stage.scan()
    assert len(stage.files(live=False)) == 1503
    (stage.target / "0000-new").unlink()
    stage.scan()
    assert changed(stage) == [
        ("gone", "0000"),
        ("gone", "0500"),
        ("added", "0500-new"),
        ("gone", "1000"),
        ("added", "1000-new"),
    ]


@given(folders(), folders(), folders())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_are_the_difference_of_the_trees(make: Any, one: Any, two: Any, three: Any) -> None:
    test_changes_are_the_difference_of_the_trees.count += 1  # type: ignore[attr-defined]
    stage = make(f"p{test_changes_are_the_difference_of_the_trees.count}")  # type: ignore[attr-defined]
    before: dict[str, Any] = {}
    seen = []
    for content in (one, two, three, one):
        shutil.rmtree(stage.target)
        scene.write_tree(stage.target, content)
        for path in [stage.target, *stage.target.rglob("*")]:
            os.utime(path, ns=(0, 7), follow_symlinks=False)
        stage.scan(accept_loss=True)
        stage.plan()
        now = {entry.path: entry[1:] for entry in walk(bytes(stage.target))}
        gone = {("gone", path) for path in before.keys() - now.keys()}
        added = {("added", path) for path in now.keys() - before.keys()}
        others = {("changed", path) for path in now.keys() & before.keys() if now[path] != before[path]}
        expected = {(what, history.paths.escape(path)) for what, path in gone | added | others}
        seen.append((history.last_scan(stage.catalog, stage.name), expected))
        before = now
    for number, expected in seen:  # also of scans that aren't the last one
        assert set(changed(stage, number)) == expected
    assert uncovered(stage.catalog, stage.name) == []


test_changes_are_the_difference_of_the_trees.count = 0  # type: ignore[attr-defined]


def test_scans_that_are_none_are_refused_with_those_that_are(stage: Scene) -> None:
    with pytest.raises(StageOrderError, match="isn't scanned yet"):
        history.last_scan(stage.catalog, stage.name)
    stage.scan()
    with pytest.raises(StageOrderError, match=r"has no finished scan 7; its last ones are 1"):
        history.last_scan(stage.catalog, stage.name, 7)


def test_files_in_a_folder_that_cannot_be_listed_are_not_taken_for_gone() -> None:
    with nobody.open_folder() as folder:
        target = folder / "t"
        scene.write_tree(target, {b"a": b"1", b"closed": {b"in": {b"f": b"x"}, b"x.tmp": b""}, b"z": b"2"})
        if os.geteuid() == 0:
            for path in (target, *target.rglob("*")):
                os.chown(path, nobody.NOBODY, nobody.NOBODY)

        def work() -> str:
            catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
            settings = {"name": "p", "target_dir": str(target), "staging_dir": str(folder / "s")}
            projects.create(catalog, parse_project(settings | {"on_error": "skip"}))
            counts = []

            def look() -> None:
                result = scan(catalog, "p")
                counts.append((result.files, result.added, result.changed, result.gone, result.left_out))

            look()
            (target / "closed").chmod(0)
            look()
            look()
            projects.change(catalog, "p", {"exclude": ["*.tmp"]})
            look()
            (target / "closed").chmod(0o700)
            look()
            return repr(counts)

        expected = [(4, 4, 0, 0, 0), (4, 1, 0, 0, 1), (4, 0, 0, 0, 1), (3, 0, 0, 1, 1), (3, 0, 0, 1, 0)]
        assert nobody.unprivileged(work) == repr(expected)


def test_a_folder_that_vanishes_during_the_walk_is_gone_not_left_out(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put({b"a": {b"f": b""}, b"b": {b"f": b""}})
    seen: list[Path] = []

    def meet(path: bytes, mtime: int) -> None:
        if path == b"a":
            shutil.rmtree(stage.target / "b")
            seen.append(stage.target)

    assert [entry.path for entry in walk(bytes(stage.target), folder=meet)] == [b"a\0f"]
    assert seen
