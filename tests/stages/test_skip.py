"""on_error: a file that can't be built fails its container, or is dropped with a record as if it had never been."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import Catalog, containers, projects, skipped
from ptolemy_core.catalog.coverage import uncovered
from ptolemy_core.catalog.schema import shard
from ptolemy_core.errors import SourceError
from ptolemy_core.project import parse_project
from ptolemy_core.stages.blitz import build_container, pending, seal
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from tests.car import nobody, scene
from tests.dag import oracle

from .conftest import BUILDING, PROFILE, Scene

TREE: oracle.Content = {
    b"a": b"first",
    b"d": {b"only": b"x" * 300, b"odd\n'\xff": b"?"},
    b"gone": {b"alone": b"y" * 200},
    b"link": oracle.Link(b"a"),
    b"void": {},
    b"z": b"last",
}


@pytest.fixture
def lenient(make: Any) -> Scene:
    stage: Scene = make()
    projects.change(stage.catalog, stage.name, {"on_error": "skip"})
    return stage


def vanish(target: Path) -> None:
    (target / "gone" / "alone").unlink()


def grow(target: Path) -> None:
    (target / "gone" / "alone").write_bytes(b"more than before" * 20)


def touch(target: Path) -> None:
    os.utime(target / "gone" / "alone", ns=(0, 1))


def become_a_pipe(target: Path) -> None:
    vanish(target)
    os.mkfifo(target / "gone" / "alone")


def become_a_link(target: Path) -> None:
    vanish(target)
    (target / "gone" / "alone").symlink_to("/")


def lose_the_folder(target: Path) -> None:
    vanish(target)
    (target / "gone").rmdir()


BAD: list[tuple[Callable[[Path], None], str]] = [
    (vanish, "is missing since the scan (No such file or directory)"),
    (grow, "changed since the scan, its size was 200 bytes, now 320"),
    (touch, "changed since the scan, its modification time changed"),
    (become_a_pipe, "changed since the scan, it is no longer a regular file"),
    (become_a_link, "changed since the scan, it is no longer a regular file"),
    (lose_the_folder, "is missing since the scan (No such file or directory)"),
]


@pytest.mark.parametrize(("spoil", "reason"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_file_is_dropped_with_a_record_and_the_car_is_as_without_it(
    lenient: Scene, make: Any, spoil: Callable[[Path], None], reason: str
) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    spoil(lenient.target)
    (row,) = lenient.blitz()
    (record,) = skipped.rows(lenient.catalog, lenient.name)
    assert (record.path, record.stage, record.container, record.shard) == ("gone/alone", "blitz", 0, None)
    assert (record.reason, record.current) == (reason, True)
    other = make("without")
    ((without,),) = [other.run({name: below for name, below in TREE.items() if name != b"gone"})]
    assert (row.payload_cid, row.piece_cid_v2) == (without.payload_cid, without.piece_cid_v2)
    assert uncovered(lenient.catalog, lenient.name) == []
    assert lenient.problems() == []
    assert lenient.plan().new == 0
    assert [planned.items for planned in containers.rows(lenient.catalog, lenient.name)] == [row.items]


@pytest.mark.parametrize(("spoil", "reason"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_without_skip_the_same_fails_the_container_by_name(
    stage: Scene, spoil: Callable[[Path], None], reason: str
) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    spoil(stage.target)
    with pytest.raises(SourceError) as caught:
        stage.build(0)
    assert f"{stage.target}/gone/alone {reason}" in str(caught.value)
    assert list(skipped.rows(stage.catalog, stage.name)) == []
    assert stage.cars() == []


def test_links_and_empty_folders_are_dropped_too(lenient: Scene) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    (lenient.target / "link").unlink()
    (lenient.target / "link").symlink_to("elsewhere")
    (lenient.target / "void").rmdir()
    lenient.blitz()
    assert {one.path: one.reason for one in skipped.rows(lenient.catalog, lenient.name)} == {
        "link": "changed since the scan, the link has another target",
        "void": "is missing since the scan (No such file or directory)",
    }
    assert lenient.problems() == []


def test_all_bad_files_are_found_at_once(lenient: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    lenient.put({b"%03d" % k: b"%d" % k for k in range(60)})
    lenient.scan()
    lenient.plan()
    for k in range(0, 60, 3):
        (lenient.target / f"{k:03d}").unlink()
    tries = []
    real = containers.content
    monkeypatch.setattr(containers, "content", lambda *a: tries.append(a) or real(*a))
    lenient.blitz()
    assert len(list(skipped.rows(lenient.catalog, lenient.name))) == 20
    assert len(tries) == 2  # a build that fails, then all of its files are checked, and a build that succeeds
    assert lenient.problems() == []


def test_a_file_whose_data_cannot_be_read_is_dropped_by_the_build_that_meets_it(
    lenient: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector doesn't show before it is read."""
    lenient.put({b"a": b"1", b"bad": b"x" * 900, b"c": b"3"})
    lenient.scan()
    lenient.plan()
    real = os.preadv
    bad = os.stat(lenient.target / "bad").st_ino

    def fail(descriptor: int, buffers: Any, *rest: Any) -> int:
        if buffers and os.fstat(descriptor).st_ino == bad:
            raise OSError(5, "Input/output error")
        return real(descriptor, buffers, *rest)

    monkeypatch.setattr(os, "preadv", fail)
    lenient.blitz()
    (record,) = skipped.rows(lenient.catalog, lenient.name)
    assert (record.path, record.reason) == ("bad", "can't be read (Input/output error)")
    assert lenient.problems() == []


def test_a_container_of_which_nothing_is_left_is_no_more(lenient: Scene) -> None:
    lenient.put({b"a": b"x" * 4000, b"b": b"y" * 4000, b"c": b"z" * 4000})
    lenient.scan()
    assert len(lenient.plan().containers) == 3
    (lenient.target / "b").unlink()
    assert lenient.build(1) == (None, False)
    assert lenient.build(1) == (None, False)  # as a step that is run again after a crash
    rows = lenient.blitz()
    assert [row.number for row in rows] == [0, 2]
    assert uncovered(lenient.catalog, lenient.name) == []
    assert lenient.problems() == []


def test_a_project_of_which_nothing_is_left_is_done(lenient: Scene) -> None:
    lenient.put({b"a": b"x", b"keep": {b"pipe": b""}})
    lenient.scan()
    lenient.plan()
    (lenient.target / "a").unlink()
    (lenient.target / "keep" / "pipe").write_bytes(b"more")
    assert lenient.blitz() == []
    assert pending(lenient.catalog, lenient.name) == []


def test_an_unmounted_target_drops_nothing(lenient: Scene) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    away = lenient.target.rename(lenient.target.with_name("away"))
    with pytest.raises(
        SourceError, match=r"can't be read \(No such file or directory\), so no file is skipped"
    ):
        lenient.build(0)
    lenient.target.mkdir()
    with pytest.raises(SourceError, match="is empty now, so no file is skipped: mount it"):
        lenient.build(0)
    lenient.target.rmdir()
    away.rename(lenient.target)
    assert len(lenient.blitz()) == 1
    assert list(skipped.rows(lenient.catalog, lenient.name)) == []


def test_another_folder_in_the_targets_place_drops_nothing(lenient: Scene) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    away = lenient.target.rename(lenient.target.with_name("away"))
    lenient.put({b"other": b"data"})
    with pytest.raises(SourceError, match="is another folder than at the last scan, so no file is skipped"):
        lenient.build(0)
    shutil.rmtree(lenient.target)
    away.rename(lenient.target)
    assert len(lenient.blitz()) == 1
    assert list(skipped.rows(lenient.catalog, lenient.name)) == []


def test_a_built_car_is_never_planned_anew(lenient: Scene) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    (row,) = lenient.blitz()
    (lenient.staging / row.file_name).unlink()
    grow(lenient.target)
    with pytest.raises(SourceError, match="gone/alone changed"):
        lenient.build(0, rebuild=True)
    assert lenient.cars() == [row]
    assert list(skipped.rows(lenient.catalog, lenient.name)) == []


def test_a_split_file_loses_the_shards_that_are_not_built(lenient: Scene) -> None:
    lenient.put({b"big": bytes(range(256)) * 40, b"small": b"s"})
    lenient.scan()
    numbers = [row.number for row in lenient.plan().containers]
    assert len(numbers) == 3
    lenient.build(0)
    os.utime(lenient.target / "big", ns=(0, 1))
    rows = lenient.blitz()
    assert [row.number for row in rows] == [0, 2]
    assert {one.path for one in skipped.rows(lenient.catalog, lenient.name)} == {"big"}
    records = [(one.container, one.shard) for one in skipped.rows(lenient.catalog, lenient.name)]
    assert {shard for _, shard in records} == set(range(10)) - shards_left(lenient)
    assert {number for number, _ in records} == {1, 2}
    assert [row.cid for row in lenient.files()] == [None, None]  # no whole-file CID of half a file
    assert uncovered(lenient.catalog, lenient.name) == []
    assert lenient.problems() == []
    lenient.scan()
    lenient.plan()
    lenient.blitz()
    assert uncovered(lenient.catalog, lenient.name) == []
    assert lenient.problems() == []
    assert lenient.files()[0].cid is not None


def shards_left(stage: Scene) -> set[int]:
    """Shards that containers hold."""
    with stage.catalog.read() as connection:
        return set(connection.scalars(sa.select(shard.c.number).where(shard.c.number >= 0)))


def test_a_later_scan_gives_a_dropped_file_another_try(lenient: Scene) -> None:
    lenient.put(TREE)
    lenient.scan()
    lenient.plan()
    path = lenient.target / "gone" / "alone"
    times = os.stat(path)
    data = path.read_bytes()
    path.unlink()
    lenient.blitz()
    assert lenient.plan().new == 0
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = lenient.scan()
    assert (result.added, result.changed, result.retried, result.gone) == (0, 1, 1, 0)
    assert lenient.scan().changed == 0
    assert lenient.plan().new == 1
    assert [row.items for row in lenient.blitz()] == [6, 1]
    (record,) = skipped.rows(lenient.catalog, lenient.name)
    assert not record.current
    assert list(skipped.rows(lenient.catalog, lenient.name, current=True)) == []
    assert uncovered(lenient.catalog, lenient.name) == []


def test_what_the_scan_left_out_is_listed_too(lenient: Scene) -> None:
    os.mkfifo(lenient.target / "pipe")
    lenient.scan()
    (record,) = skipped.rows(lenient.catalog, lenient.name)
    assert (record.path, record.reason, record.stage, record.container) == (
        "pipe",
        "a named pipe",
        "scan",
        None,
    )
    (lenient.target / "pipe").unlink()
    lenient.scan()
    assert [one.current for one in skipped.rows(lenient.catalog, lenient.name)] == [False]


def test_files_that_became_unreadable_are_dropped() -> None:
    with nobody.open_folder() as folder:
        target = folder / "t"
        scene.write_tree(target, {b"closed": {b"f": b"x"}, b"secret": b"x", b"seen": b"x"})
        for path in (target, *target.rglob("*")):
            os.chown(path, nobody.NOBODY, nobody.NOBODY) if os.geteuid() == 0 else None

        def work() -> str:
            catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
            settings = {"name": "p", "target_dir": str(target), "staging_dir": str(folder / "s")}
            projects.create(catalog, parse_project(settings | {"on_error": "skip"}))
            scan(catalog, "p")
            containerize(catalog, "p", profile=PROFILE)
            (target / "closed").chmod(0)
            (target / "secret").chmod(0)
            built, _ = build_container(catalog, "p", 0, BUILDING)
            seal(catalog, "p", PROFILE)
            (target / "closed").chmod(0o700)
            assert built is not None
            return repr((built.items, [(one.path, one.reason) for one in skipped.rows(catalog, "p")]))

        denied = "can't be read (Permission denied)"
        assert nobody.unprivileged(work) == repr((1, [("closed/f", denied), ("secret", denied)]))
