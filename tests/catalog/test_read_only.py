"""A home on a read-only file system, or one that this user may not write: it can be read."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from ptolemy_core.catalog import Catalog, progress, projects
from ptolemy_core.catalog.migrations import VERSION_TABLE
from ptolemy_core.errors import ReadOnlyStateError, StateError
from ptolemy_core.project import parse_project

Open = Callable[[Path], Catalog]


@pytest.fixture
def read_only() -> Iterator[Open]:
    """Opens the catalog of a folder that can't be written any more."""
    with ExitStack() as stack:

        def open_read_only(folder: Path) -> Catalog:
            if os.geteuid() == 0:  # permissions don't hold root back
                mounted = subprocess.run(
                    ["mount", "--bind", folder, folder], capture_output=True, check=False
                )
                if mounted.returncode:
                    pytest.skip("a read-only file system can't be mounted here")
                stack.callback(subprocess.run, ["umount", "-l", folder], check=True)
                subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            else:
                folder.chmod(0o555)
                stack.callback(folder.chmod, 0o755)
            catalog = Catalog(f"sqlite:///{folder}/catalog.db")
            stack.callback(catalog.engine.dispose)
            return catalog

        yield open_read_only


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with project p."""
    made = tmp_path / "home"
    catalog = Catalog(f"sqlite:///{made}/catalog.db")
    source = tmp_path / "source"
    source.mkdir()
    settings = {"name": "p", "target_dir": str(source), "staging_dir": str(tmp_path / "cars")}
    projects.create(catalog, parse_project(settings))
    catalog.engine.dispose()
    return made


def killed_writer(folder: Path) -> None:
    """Change project p in a process that dies before the log is copied into the database."""
    code = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA wal_autocheckpoint=0')\n"
        "connection.execute('UPDATE project SET quiet_seconds = 77')\n"
        "connection.commit()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, folder / "catalog.db"], check=True)
    assert (folder / "catalog.db-wal").stat().st_size


def test_a_read_only_catalog_is_read(folder: Path, read_only: Open) -> None:
    catalog = read_only(folder)
    assert catalog.read_only
    assert projects.names(catalog) == ["p"]


def test_what_would_change_a_read_only_catalog_is_refused(folder: Path, read_only: Open) -> None:
    catalog = read_only(folder)
    with pytest.raises(ReadOnlyStateError, match=rf"{folder}/catalog.db can't be written"):
        projects.change(catalog, "p", {"watch": True})
    with pytest.raises(ReadOnlyStateError), catalog.lock("scan p"):
        pass
    with progress.Reporter(catalog, "p", progress.Task(progress.Work.MANIFEST), None) as reporter:
        reporter.advance(1)
    assert progress.running(catalog, "p") == []


@pytest.mark.parametrize("index", ["there", "gone", "rubbish"])
def test_what_only_a_log_holds_is_read_too(folder: Path, read_only: Open, index: str) -> None:
    killed_writer(folder)
    if index == "gone":
        (folder / "catalog.db-shm").unlink()
    elif index == "rubbish":
        (folder / "catalog.db-shm").write_bytes(os.urandom(32768))
    assert projects.get(read_only(folder), "p").quiet_seconds == 77


def test_copies_are_removed_with_their_catalog(
    folder: Path, read_only: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    killed_writer(folder)
    (folder / "catalog.db-shm").unlink()
    shutil.copytree(folder, tmp_path / "other")
    catalog = Catalog(f"sqlite:///{tmp_path}/other/catalog.db")
    catalog.engine.dispose()
    code = "import sys\nfrom ptolemy_core.catalog import Catalog\nCatalog(f'sqlite:///{sys.argv[1]}/catalog.db')\n"
    read_only(folder)
    assert len(os.listdir(temporary)) == 1
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", code, folder], check=True, env=environment)
    assert len(os.listdir(temporary)) == 1


def test_an_older_schema_is_read_through_an_upgraded_copy(tmp_path: Path, read_only: Open) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    first = importlib.import_module("ptolemy_core.catalog.migrations.versions.0001_first")
    engine = sa.create_engine(f"sqlite:///{folder}/catalog.db")
    with engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            first.upgrade()
        connection.execute(sa.text(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')"))
        connection.execute(
            sa.text("INSERT INTO project VALUES ('old', '/data', '/cars', 1, 31, 'None', 'blitz', 0.0)")
        )
    engine.dispose()
    before = (folder / "catalog.db").read_bytes()
    catalog = read_only(folder)
    assert projects.get(catalog, "old").target_dir == "/data"
    with pytest.raises(ReadOnlyStateError):
        projects.change(catalog, "old", {"watch": True})
    assert (folder / "catalog.db").read_bytes() == before


def test_a_fresh_home_that_cannot_be_written_is_named(tmp_path: Path, read_only: Open) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with pytest.raises(StateError, match=rf"the folder of state {fresh} can't be written"):
        read_only(fresh)
