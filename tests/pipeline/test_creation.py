"""A fresh home, or an empty Postgres, that several commands use at once; and one that was damaged that way."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from ptolemy_core.errors import SettingsError, StateError
from ptolemy_dagster.instance import open_instance, prepare_home
from tests.pipeline.backend import Backend, environment

_MAIN = "from ptolemy_dagster.cli import main; main()"
_OLDER = "5771160a95ad"
"""A revision of Dagster's schema that its own code leaves beside the newest when two run it at once."""

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A home that isn't there yet."""
    url: str | None = None
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").database()
    (tmp_path / "data").mkdir()
    return Backend(tmp_path, environment(tmp_path, url))


def create_arguments(backend: Backend, name: str) -> Sequence[str]:
    target, staging = str(backend.root / "data"), str(backend.root / "cars" / name)
    return [sys.executable, "-c", _MAIN, "create", name, "--target-dir", target, "--staging-dir", staging]


def revisions(backend: Backend) -> list[list[str]]:
    """Revisions that each of Dagster's databases names."""
    query = "SELECT version_num FROM alembic_version"
    url = backend.env.get("PTOLEMY_PG_URL")
    if url:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return [[row[0] for row in cursor.fetchall()]]
    found = []
    for name in _DATABASES:
        with closing(sqlite3.connect(backend.root / "home" / "storage" / name)) as connection:
            found.append([row[0] for row in connection.execute(query)])
    return found


def test_commands_that_start_at_once_on_a_fresh_home_all_succeed(fresh: Backend) -> None:
    names = [f"p{number}" for number in range(3)]
    started = [
        subprocess.Popen(
            create_arguments(fresh, name),
            env=dict(fresh.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name in names
    ]
    outputs = [process.communicate()[0].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert [len(found) for found in revisions(fresh)] in ([1], [1, 1, 1])


def add_revision(backend: Backend) -> None:
    """Damage a home as two processes did that made it at once."""
    statement = f"INSERT INTO alembic_version VALUES ('{_OLDER}')"
    url = backend.env.get("PTOLEMY_PG_URL")
    if url:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
        return
    for name in _DATABASES:
        with closing(sqlite3.connect(backend.root / "home" / "storage" / name)) as connection, connection:
            connection.execute(statement)


def test_a_home_with_two_revisions_is_mended(fresh: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PTOLEMY_PG_URL", raising=False)
    for name in ("DAGSTER_HOME", "PTOLEMY_PG_URL"):
        if name in fresh.env:
            monkeypatch.setenv(name, fresh.env[name])
    with open_instance():
        before = revisions(fresh)
    add_revision(fresh)
    assert revisions(fresh) != before
    with open_instance() as instance:
        instance.get_runs(limit=1)
        assert instance.all_instigator_state() == []
    assert revisions(fresh) == before


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PTOLEMY_PG_URL", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", ["a?b", "a*b", "a[b]"])
def test_a_home_that_dagster_would_take_for_a_pattern_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / name))
    with pytest.raises(SettingsError, match="Dagster treats as a pattern"):
        prepare_home()
    assert not (tmp_path / name).exists()


def test_an_empty_configuration_is_written_anew(home: Path) -> None:
    home.mkdir()
    (home / "dagster.yaml").write_bytes(b"")  # as a full disk left it
    prepare_home()
    assert b"PtolemyStorage" in (home / "dagster.yaml").read_bytes()
    assert os.listdir(home) == ["dagster.yaml"]


@pytest.mark.parametrize("text", ["a: [", "storage: 7", "nonsense: {}"])
def test_a_malformed_configuration_is_named(home: Path, text: str) -> None:
    home.mkdir()
    (home / "dagster.yaml").write_text(text)
    with pytest.raises(StateError, match=rf"{home}/dagster.yaml isn't a configuration that Dagster accepts"):
        open_instance()


def test_a_full_disk_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", home], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here")
    try:
        backend = Backend(home.parent, environment(home.parent, None))
        (home.parent / "data").mkdir()
        done = subprocess.run(
            create_arguments(backend, "p"), env=dict(backend.env), capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["umount", "-l", home], check=True)
    assert done.returncode == 1
    assert "its disk is full" in done.stderr
    assert str(home) in done.stderr
    assert "Traceback" not in done.stderr
