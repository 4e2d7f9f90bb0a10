"""Entries that can't go into a CAR are never left out in silence; Ptolemy's own folders are by themselves."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import Catalog, projects, skipped
from ptolemy_core.catalog.skipped import NotStored
from ptolemy_core.errors import EmptyProjectError, SourceError, UnreadableError
from ptolemy_core.project import parse_project
from ptolemy_core.stages.manifest import write_manifest
from ptolemy_core.stages.scan import scan, summary
from ptolemy_core.stages.watch import State, look
from ptolemy_core.status.state import project_state
from tests.car import nobody, scene
from tests.source.mounts import mount, needs_mounts, with_own_mounts

from .conftest import Scene


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """Import what a catalog imports: nobody may not read where Python is."""
    Catalog(f"sqlite:///{tmp_path}/first.db").engine.dispose()


def kept_out(stage: Scene) -> NotStored:
    return skipped.not_stored(stage.catalog, stage.name)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_what_cannot_be_read_fails_the_scan_or_is_counted(on_error: str) -> None:
    with nobody.open_folder() as folder:
        target = folder / "t"
        scene.write_tree(
            target, {b"closed": {b"f": b"x"}, b"secret": b"x", b"odd\n\xff": b"x", b"seen": b"x"}
        )
        for name in ("closed", "secret", os.fsdecode(b"odd\n\xff")):
            (target / name).chmod(0)

        def work() -> str:
            catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
            settings = {"name": "p", "target_dir": str(target), "staging_dir": str(folder / "s")}
            projects.create(catalog, parse_project(settings | {"on_error": on_error}))
            try:
                scan(catalog, "p")
            except UnreadableError as error:
                assert summary(catalog, "p").files == 0
                return str(error)
            assert project_state(catalog, "p").not_stored.total == 3
            return str(skipped.not_stored(catalog, "p"))

        said = nobody.unprivileged(work)
    if on_error == "skip":
        assert said == "3 entries are in no CAR (3 unreadable)"
        return
    assert said.startswith(
        f"3 entries of {target} can't be stored (closed: can't be listed: Permission denied; odd\\n\\xff: no "
        "permission to read it; secret: no permission to read it), so nothing was recorded: "
    )
    assert "ptolemy set p --on-error skip" in said


def test_of_many_unreadable_entries_the_first_are_named_and_all_counted() -> None:
    with nobody.open_folder() as folder:
        target = folder / "t"
        scene.write_tree(target, {b"%04d" % k: b"x" for k in range(2500)})
        for path in target.iterdir():
            path.chmod(0)

        def work() -> str:
            catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
            settings = {"name": "p", "target_dir": str(target), "staging_dir": str(folder / "s")}
            projects.create(catalog, parse_project(settings))
            with pytest.raises(UnreadableError) as caught:
                scan(catalog, "p")
            return str(caught.value)

        said = nobody.unprivileged(work)
    assert said.startswith("2,500 entries of ")
    assert "0019: no permission to read it; and 2,480 more)" in said
    assert "0020" not in said


def test_pipes_and_sockets_are_counted_and_fail_nothing(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    os.mkfifo(stage.target / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(stage.target, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        result = stage.scan()
    assert result.not_stored == NotStored(special=2)
    assert str(result.not_stored) == "2 entries are in no CAR (2 pipes, sockets or devices)"
    (stage.target / "s").unlink()
    stage.scan()
    assert str(kept_out(stage)) == "1 entry is in no CAR (1 pipe, socket or device)"
    (stage.target / "pipe").unlink()
    assert stage.scan().not_stored == NotStored()


def test_files_that_a_build_dropped_are_counted_until_they_are_stored(make: Any) -> None:
    stage = make(on_error="skip", shard_size=1)
    stage.put({b"a": b"1", b"big": bytes(5000)})
    stage.scan()
    stage.plan()
    (stage.target / "big").write_bytes(b"another")
    stage.blitz()
    assert kept_out(stage) == NotStored(dropped=1)
    stage.scan()
    stage.plan()
    stage.blitz()
    assert kept_out(stage) == NotStored()


# Ptolemy's own folders


@pytest.fixture
def at_home(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A project over a folder that holds DAGSTER_HOME, and another project's staging folder."""
    home = stage.target / ".ptolemy"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    stage.put({b"a": b"1", b".ptolemy": {b"catalog.db": b"state"}, b"out": {b"x.car": b"car"}, b"z": b"2"})
    other = stage.target.parent / "other"
    other.mkdir()
    settings = {"name": "q", "target_dir": str(other), "staging_dir": str(stage.target / "out")}
    projects.create(stage.catalog, parse_project(settings))
    return stage


def test_state_and_staging_folders_are_left_out_and_named(at_home: Scene) -> None:
    result = at_home.scan()
    assert result.left_out_sample == [
        (".ptolemy", "Ptolemy's own state folder"),
        ("out", "Ptolemy's own staging folder of project 'q'"),
    ]
    assert (result.files, result.not_stored) == (2, NotStored(own=2))
    assert str(result.not_stored) == ""
    at_home.plan()
    at_home.blitz()
    assert at_home.problems() == []


def test_what_earlier_scans_took_of_them_is_no_loss(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.put({b"a": b"1", b".ptolemy": {b"%d" % k: b"" for k in range(9)}})
    stage.scan()
    monkeypatch.setenv("DAGSTER_HOME", str(stage.target / ".ptolemy"))
    assert stage.scan().gone == 9


def test_a_state_folder_that_never_rests_does_not_keep_a_watch_waiting(at_home: Scene) -> None:
    project = projects.change(at_home.catalog, at_home.name, {"watch": True, "quiet_seconds": 60})
    at_home.scan()
    (at_home.target / "new").write_bytes(b"")
    state = State()
    for now in (0, 30, 60):
        (at_home.target / ".ptolemy" / f"{now}").write_bytes(b"")
        found = look(at_home.catalog, project, state, float(now))
        state = found.state
    assert found.due


def test_an_unfinished_restore_is_left_out(stage: Scene) -> None:
    stage.put({b"a": b"1", b".ptolemy-restore": {b"part": b"x"}})
    assert stage.scan().left_out_sample == [
        (".ptolemy-restore", "Ptolemy's own folder of a restore that isn't finished")
    ]


def test_a_target_that_is_the_state_folder_is_refused(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(stage.target))
    with pytest.raises(SourceError, match="is Ptolemy's own state folder, so it can't be scanned"):
        stage.scan()


def test_a_catalog_below_the_target_is_left_out(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "a").write_bytes(b"1")
    catalog = Catalog(f"sqlite:///{target}/db/own.db")
    settings = {"name": "p", "target_dir": str(target), "staging_dir": str(tmp_path / "s")}
    projects.create(catalog, parse_project(settings))
    result = scan(catalog, "p")
    assert result.files == 1
    assert {path for path, _ in result.left_out_sample} >= {"db/own.db", "db/own.db-wal", "db/own.db.locks"}
    assert result.not_stored == NotStored(own=result.left_out)


@needs_mounts
def test_they_are_known_through_bind_mounts(
    stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))

    def work() -> None:
        stage.put({b"a": b"1", b"h": {}, b"s": {}})
        stage.staging.mkdir(exist_ok=True)
        (home / "catalog.db").write_bytes(b"")
        mount("--bind", home, stage.target / "h")
        mount("--bind", stage.staging, stage.target / "s")
        assert stage.scan().left_out_sample == [
            ("h", "Ptolemy's own state folder"),
            ("s", "Ptolemy's own staging folder"),
        ]

    with_own_mounts(work)


# Nothing to store


def test_every_stage_says_the_same_of_an_empty_target(stage: Scene) -> None:
    assert stage.scan().is_empty
    said = stage.plan().empty
    assert said is not None
    assert said.startswith(
        f"project 'p' holds no files: its last scan found no file, link or empty folder in {stage.target} "
    )
    for ask in (stage.blitz, stage.seal, stage.verify, lambda: write_manifest(stage.catalog, stage.name)):
        with pytest.raises(EmptyProjectError) as caught:
            ask()
        assert str(caught.value) == said
    assert project_state(stage.catalog, stage.name).is_empty


def test_what_was_left_out_of_an_empty_target_is_said(stage: Scene) -> None:
    os.mkfifo(stage.target / "pipe")
    stage.scan()
    assert "that belongs to it, and 1 entry is in no CAR (1 pipe, socket or device). " in str(
        stage.plan().empty
    )
