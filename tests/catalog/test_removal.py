"""A project that is removed or renamed takes its files along, whoever writes meanwhile; no foreign key says so."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import Catalog, new_versions, projects, removal, scans
from ptolemy_core.catalog.scans import LiveTotals
from ptolemy_core.catalog.schema import file, metadata
from ptolemy_core.errors import UnknownProjectError
from ptolemy_core.project import parse_project
from ptolemy_core.source.filesystem import look
from ptolemy_core.stages import containerize
from ptolemy_core.stages import scan as scan_stage
from ptolemy_core.stages.merge import Counts, Losses
from ptolemy_core.stages.spill import Spill

ENTRIES = ([b"x", b"y"], [0, 0], [1, 2], [3, 4], [None, None], [None, None])


@pytest.fixture
def scanned(catalog: Catalog, tmp_path: Path) -> Catalog:
    """Two projects of the same folder, of which one is planned."""
    (tmp_path / "t").mkdir()
    for name in ("a", "b\xff"):
        (tmp_path / "t" / name).write_bytes(b"1")
    for name in ("p", "other"):
        settings = {"target_dir": str(tmp_path / "t"), "staging_dir": str(tmp_path / "s")}
        projects.create(catalog, parse_project(settings | {"name": name}))
        scan_stage.scan(catalog, name)
    containerize.containerize(catalog, "p")
    return catalog


def counts(catalog: Catalog) -> dict[str, int]:
    """How many rows each table has."""
    with catalog.read() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }


def owners(catalog: Catalog) -> set[str]:
    with catalog.read() as connection:
        return set(connection.scalars(sa.select(file.c.project)))


def test_removal_leaves_no_row_of_the_project_and_all_of_others(scanned: Catalog) -> None:
    before = counts(scanned)
    assert (before["file"], before["shard"], before["scan"]) == (4, 2, 2)
    removal.delete(scanned, "p")
    after = counts(scanned)
    assert (after["project"], after["file"], after["scan"]) == (1, 2, 1)
    assert (after["shard"], after["container"]) == (0, 0)
    assert owners(scanned) == {"other"}


def test_renaming_takes_the_files_along(scanned: Catalog) -> None:
    before = counts(scanned)
    removal.rename(scanned, "p", "new")
    assert counts(scanned) == before
    assert owners(scanned) == {"new", "other"}


def recording(catalog: Catalog, between: Callable[[], None]) -> Callable[[], None]:
    """Records two entries more of project p, as a scan that has walked; `between` is called before the commit."""
    job = scan_stage.load(catalog, "p", False, 1.0)
    changes: Spill[Any] = Spill("")
    changes.append(scans.Change([], ENTRIES), 2)
    mounts = look(bytes(Path(job.project.target_dir)))
    found = scan_stage.Found(changes, None, Counts(added=2), Losses({}), LiveTotals(), mounts)
    real = scans.finish

    def finish(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        between()

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scans, "finish", finish)
            scan_stage.record(catalog, job, found, lambda: None)

    return run


class Beside:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            self.error = error

    def wait(self) -> BaseException | None:
        """Wait for its end; returns what it raised."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.error


def remove(catalog: Catalog) -> None:
    removal.delete(catalog, "p")


def rename(catalog: Catalog) -> None:
    removal.rename(catalog, "p", "new")


@pytest.mark.parametrize("end", [remove, rename])
def test_the_end_of_a_project_waits_for_a_scan_that_is_writing(
    scanned: Catalog, end: Callable[[Catalog], None]
) -> None:
    others: list[Beside] = []

    def between() -> None:
        others.append(Beside(lambda: end(scanned)))
        time.sleep(0.3)

    recording(scanned, between)()
    assert others[0].wait() is None
    assert "p" not in owners(scanned)
    assert counts(scanned)["file"] == (2 if end is remove else 6)


@pytest.mark.parametrize("end", [remove, rename])
def test_a_scan_writes_nothing_of_a_project_that_is_gone(
    scanned: Catalog, end: Callable[[Catalog], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Beside] = []
    run = recording(scanned, lambda: None)
    real = projects.claim

    def claim(*arguments: Any) -> None:
        real(*arguments)
        others.append(Beside(run))
        time.sleep(0.3)

    monkeypatch.setattr(projects, "claim", claim)
    end(scanned)
    error = others[0].wait()
    assert isinstance(error, UnknownProjectError)
    assert "'p' was removed or renamed meanwhile" in str(error)
    assert "p" not in owners(scanned)
    assert counts(scanned)["file"] == (2 if end is remove else 4)


def test_new_versions_are_not_made_of_a_project_that_is_gone(
    scanned: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scanned.read() as connection:
        ids = list(connection.scalars(sa.select(file.c.id).where(file.c.project == "p")))
    held: list[str] = []
    real = projects.hold

    def hold(connection: Any, name: str) -> None:
        held.append(name)
        real(connection, name)

    monkeypatch.setattr(projects, "hold", hold)
    assert new_versions.renew(scanned, ids) == 2
    assert held == ["p"]
    removal.delete(scanned, "p")
    assert new_versions.renew(scanned, ids) == 0
