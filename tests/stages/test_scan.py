"""Scans merge into the catalog: what didn't change isn't written, what is gone is marked, crashes lose nothing."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from ptolemy_core.catalog import Catalog, progress, projects
from ptolemy_core.catalog import scans as scans_module
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.errors import BusyError, SourceError, UnknownProjectError
from ptolemy_core.project import parse_project
from ptolemy_core.source.walk import walk
from ptolemy_core.stages.scan import scan
from ptolemy_core.tree import LEFT_OUT, Kind, paths
from tests.car import nobody, scene
from tests.dag import oracle
from tests.dag.trees import folders

from .conftest import Crash, Scene, crash_in_record, small_batches

TREE: oracle.Content = {
    b"a": b"12345",
    b"empty": b"",
    b"d": {b"x": b"1", b"y": b"22", b"odd'\n\xff\t\\": b"333"},
    b"void": {},
    b"link": oracle.Link(b"\xff/.."),
}


def live(stage: Scene) -> list[tuple[Any, ...]]:
    return [(r.path, r.kind, r.size, r.mtime, r.target, r.reason) for r in stage.files()]


def on_disk(stage: Scene) -> list[tuple[Any, ...]]:
    return [tuple(entry) for entry in walk(bytes(stage.target))]


def test_first_scan_records_every_entry_and_counts_them(stage: Scene) -> None:
    stage.put(TREE)
    os.mkfifo(stage.target / "pipe")
    result = stage.scan()
    assert live(stage) == on_disk(stage)
    assert (result.files, result.empty_files, result.links) == (5, 1, 1)
    assert (result.empty_folders, result.left_out) == (1, 1)
    assert (result.data_bytes, result.largest) == (11, 5)
    assert (result.added, result.changed, result.gone) == (8, 0, 0)
    assert result.left_out_sample == [("pipe", "a named pipe")]


def test_totals_are_counted_while_the_scan_passes_and_agree_with_the_rows(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(TREE)
    os.mkfifo(stage.target / "pipe")
    stage.scan()
    (stage.target / "a").write_bytes(b"1234567")
    (stage.target / "link").unlink()
    (stage.target / "void" / "empty too").touch()
    stage.scan()
    rows = scans_module.counted(stage.catalog, stage.name)
    assert (rows.files, rows.empty_files, rows.data_bytes, rows.largest) == (6, 2, 13, 7)
    assert (rows.links, rows.empty_folders, rows.left_out) == (0, 0, 1)
    monkeypatch.setattr(scans_module, "counted", None)
    result = stage.scan()
    assert scans_module.totals(stage.catalog, stage.name) == rows
    assert (result.files, result.data_bytes, result.largest) == (6, 13, 7)
    removed = Scene(stage.catalog, projects.change(stage.catalog, stage.name, {"exclude": ["a"]}))
    assert removed.scan(accept_loss=True).data_bytes == 6


def test_second_scan_writes_nothing(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    before = stage.files(live=False)
    result = stage.scan()
    assert (result.added, result.changed, result.gone) == (0, 0, 0)
    assert stage.files(live=False) == before


def test_new_changed_and_gone_are_told_apart_and_versions_kept(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    first = {row.path: row for row in stage.files()}
    (stage.target / "a").write_bytes(b"another")
    (stage.target / "d" / "y").unlink()
    (stage.target / "d" / "z").write_bytes(b"")
    result = stage.scan()
    assert (result.added, result.changed, result.gone) == (1, 1, 1)
    assert live(stage) == on_disk(stage)
    versions = {(row.path, row.gone_scan is None): row for row in stage.files(live=False)}
    assert versions[b"a", False].id == first[b"a"].id
    assert versions[b"a", False].size == 5
    assert versions[b"a", True].id != first[b"a"].id
    assert versions[b"a", True].first_scan == versions[b"a", False].gone_scan
    assert versions[b"d\0y", False].id == first[b"d\0y"].id
    assert (b"d\0y", True) not in versions
    assert versions[b"d\0x", True].id == first[b"d\0x"].id


def touch(path: Path) -> None:
    os.utime(path / "a", ns=(0, 1))


def retarget(path: Path) -> None:
    times = os.lstat(path / "link")
    (path / "link").unlink()
    (path / "link").symlink_to("12/4")
    os.utime(path / "link", ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)


def become_folder(path: Path) -> None:
    (path / "a").unlink()
    (path / "a").mkdir()


def fill_void(path: Path) -> None:
    (path / "void" / "f").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "counts"),
    [(touch, (0, 1, 0)), (retarget, (0, 1, 0)), (become_folder, (0, 1, 0)), (fill_void, (1, 0, 1))],
)
def test_any_difference_is_a_new_version(stage: Scene, change: Any, counts: tuple[int, int, int]) -> None:
    stage.put(TREE)
    stage.scan()
    change(stage.target)
    result = stage.scan()
    assert (result.added, result.changed, result.gone) == counts
    assert live(stage) == on_disk(stage)


def test_all_gone_and_all_back(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    shutil.rmtree(stage.target)
    stage.target.mkdir()
    assert stage.scan(accept_loss=True).gone == 7
    assert live(stage) == []
    stage.put(TREE)
    assert stage.scan().added == 7
    assert live(stage) == on_disk(stage)


@given(folders(), folders())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_change_the_live_rows_are_the_tree(
    make: Any, before: oracle.Content, after: oracle.Content
) -> None:
    test_after_any_change_the_live_rows_are_the_tree.count += 1  # type: ignore[attr-defined]
    stage = make(f"p{test_after_any_change_the_live_rows_are_the_tree.count}")  # type: ignore[attr-defined]
    for content in (before, after):
        shutil.rmtree(stage.target)
        scene.write_tree(stage.target, content)
        stage.scan(accept_loss=True)
        assert live(stage) == on_disk(stage)


test_after_any_change_the_live_rows_are_the_tree.count = 0  # type: ignore[attr-defined]


def test_small_pages_and_batches_merge_alike(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read a page at a time while others are written."""
    small_batches(monkeypatch, 7)
    stage.put({b"%03d" % k: b"x" for k in range(0, 300, 2)})
    stage.scan()
    for k in range(0, 300, 3):
        path = stage.target / f"{k:03d}"
        path.write_bytes(b"yy")
    for k in range(0, 300, 10):
        (stage.target / f"{k:03d}").unlink()
    result = stage.scan()
    changed = [k for k in range(0, 300, 6) if k % 10]
    added = [k for k in range(3, 300, 6) if k % 10]
    assert (result.added, result.changed, result.gone) == (len(added), len(changed), 30)
    assert live(stage) == on_disk(stage)


@pytest.mark.parametrize("when", ["while it walks", "while it records", "before it is done"])
def test_scan_that_crashed_midway_is_made_good_by_the_next(
    make: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Whatever the crashed one had written already."""
    small_batches(monkeypatch, 100)
    crashed, calm = make("crashed"), make("calm")
    tree = {b"%05d" % k: b"x" for k in range(2500)}
    for stage in (crashed, calm):
        stage.put(tree)
        stage.scan()
        for k in range(0, 2500, 5):
            (stage.target / f"{k:05d}").unlink()
        for k in range(1, 2500, 5):
            (stage.target / f"{k:05d}").write_bytes(b"another")
        stage.put({b"%05d-new" % k: b"y" for k in range(0, 2500, 5)})

    def crash(*_: object, **__: object) -> None:
        raise Crash

    before = crashed.files(live=False)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        if when == "while it records":
            crash_in_record(patch, 1)
        elif when == "before it is done":
            patch.setattr(scans_module, "finish", crash)
        crashed.scan(progress=crash if when == "while it walks" else None)
    assert (live(crashed) == on_disk(crashed)) == (when == "before it is done")
    assert (crashed.files(live=False) == before) == (when == "while it walks")
    assert unfinished(crashed) == 1
    counted = scans_module.counted(crashed.catalog, crashed.name)
    assert scans_module.totals(crashed.catalog, crashed.name) == counted
    crashed.scan()
    calm.scan()
    assert live(crashed) == on_disk(crashed)
    strip = [(row.path, row.kind, row.size) for row in calm.files()]
    assert [(row.path, row.kind, row.size) for row in crashed.files()] == strip
    assert len(crashed.files(live=False)) == len(calm.files(live=False))
    assert crashed.scan().added == 0


def unfinished(stage: Scene) -> int:
    query = sa.select(sa.func.count()).where(scans.c.project == stage.name, scans.c.finished_at.is_(None))
    with stage.catalog.read() as connection:
        return int(connection.scalar(query) or 0)


def test_two_scans_at_once_the_second_is_told_to_wait(stage: Scene, catalog_url: str) -> None:
    stage.put({b"%04d" % k: b"" for k in range(1000)})
    told: list[str] = []

    def meanwhile(found: int, data: int) -> None:
        with pytest.raises(BusyError) as caught:
            scan(Catalog(catalog_url), stage.name)
        told.append(str(caught.value))

    stage.scan(progress=meanwhile)
    assert told[0] == "project 'p' is being scanned already: wait for that scan"
    assert stage.scan().added == 0


def test_progress_is_what_was_found_since_the_last_call_adds_up_to_the_totals_and_leaves_no_task(
    stage: Scene,
) -> None:
    stage.put(TREE)
    seen: list[tuple[int, int]] = []
    stage.scan(progress=lambda found, data: seen.append((found, data)))
    assert (sum(found for found, _ in seen), sum(data for _, data in seen)) == (7, 11)
    assert progress.running(stage.catalog, stage.name) == []


def test_target_that_is_gone_changes_nothing(stage: Scene) -> None:
    """An unmounted disk isn't a deletion of everything."""
    stage.put(TREE)
    stage.scan()
    before = live(stage)
    stage.target.rename(stage.target.with_name("elsewhere"))
    with pytest.raises(SourceError, match="mounted"):
        stage.scan()
    assert live(stage) == before


def test_unknown_project_is_named_with_those_that_are(stage: Scene) -> None:
    with pytest.raises(UnknownProjectError, match=r"no project 'other': create it first \(projects: p\)"):
        scan(stage.catalog, "other")


def test_unreadable_entries_are_recorded_with_the_reason() -> None:
    with nobody.open_folder() as folder:
        target = folder / "t"
        scene.write_tree(target, {b"closed": {b"f": b"x"}, b"secret": b"x", b"seen": b"x"})
        (target / "closed").chmod(0)
        (target / "secret").chmod(0)

        def work() -> str:
            catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
            settings = {"name": "p", "target_dir": str(target), "staging_dir": str(folder / "s")}
            projects.create(catalog, parse_project(settings | {"on_error": "skip"}))
            result = scan(catalog, "p")
            return repr((result.files, result.left_out, result.left_out_sample))

        sample = [("closed", "can't be listed: Permission denied"), ("secret", "no permission to read it")]
        assert nobody.unprivileged(work) == repr((1, 2, sample))


def test_kinds_in_the_catalog_are_those_of_the_layout(stage: Scene) -> None:
    stage.put(TREE)
    os.mkfifo(stage.target / "pipe")
    stage.scan()
    kinds = {row.path: row.kind for row in stage.files()}
    assert kinds[b"a"] == Kind.FILE
    assert kinds[b"link"] == Kind.SYMLINK
    assert kinds[b"void"] == Kind.DIRECTORY
    assert kinds[b"pipe"] == LEFT_OUT


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
def test_a_path_that_postgres_cannot_index_is_named(stage: Scene, watch: bool) -> None:
    names = [
        random.Random(k).randbytes(120).hex() for k in range(12)
    ]  # what Postgres compresses may be longer
    here = os.open(stage.target, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    stage.put({b"a": b"", b"z": b""})
    projects.change(stage.catalog, stage.name, {"watch": watch})
    path = "/".join(names).encode()
    if stage.catalog.engine.dialect.name == "sqlite":
        assert stage.scan().empty_folders == 1
        return
    with pytest.raises(SourceError) as raised:
        stage.scan()
    words = (
        f"{paths.display(path)} has a path of {len(path)} bytes, and Postgres can index some 2,700: shorten "
    )
    assert str(raised.value).startswith(words)
    assert not stage.files()
    projects.change(stage.catalog, stage.name, {"exclude": [names[0]]})
    assert stage.scan().added == 2
