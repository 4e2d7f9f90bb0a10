"""The catalog itself: its schema, its transactions, its bulk rows, and locks that die with their process."""

import importlib
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from ptolemy_core.catalog import (
    PG_URL,
    Catalog,
    bulk,
    copy_binary,
    default_url,
    delivery,
    home,
    progress,
    projects,
)
from ptolemy_core.catalog.migrations import VERSION_TABLE
from ptolemy_core.catalog.schema import file, metadata, scan
from ptolemy_core.catalog.schema import progress as progress_table
from ptolemy_core.errors import BusyError, DeliveryError, SettingsError, UnknownProjectError
from ptolemy_core.project import parse_project

NASTY = [
    b"",
    b"\0",
    b"a\0b",
    b"\\",
    b"\\N",
    b"\\x00",
    b"\\.",
    b"'",
    b'"',
    b"tab\tnew\nline\rreturn",
    b"\xff\xfe\x80",
    b"%s %(x)s ? :x",
    bytes(range(256)),
    b"x" * 100_000,
    "\N{SNOWMAN}".encode(),
]


@pytest.fixture
def project(catalog: Catalog, tmp_path: Path) -> str:
    settings = {"name": "p", "target_dir": str(tmp_path), "staging_dir": str(tmp_path.parent / "staging")}
    projects.create(catalog, parse_project(settings))
    return "p"


def test_migrations_make_the_schema(catalog: Catalog) -> None:
    def ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return kind != "table" or name != VERSION_TABLE

    with catalog.engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_columns_that_migrations_make_are_as_nullable_and_unique_as_the_schemas(catalog: Catalog) -> None:
    inspector = sa.inspect(catalog.engine)
    for table in metadata.sorted_tables:
        made = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert made == {column.name: column.nullable for column in table.columns}
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert key == [column.name for column in table.primary_key]
        foreign = {
            (*each["constrained_columns"], each["referred_table"])
            for each in inspector.get_foreign_keys(table.name)
        }
        assert foreign == {(k.parent.name, k.column.table.name) for k in table.foreign_keys}


def test_opening_again_changes_nothing(catalog: Catalog, catalog_url: str, project: str) -> None:
    again = Catalog(catalog_url)
    assert projects.names(again) == ["p"]


def test_write_is_rolled_back_on_any_error(catalog: Catalog, project: str) -> None:
    with pytest.raises(KeyboardInterrupt), catalog.write() as connection:
        connection.execute(scan.insert().values(project="p", started_at=0.0))
        raise KeyboardInterrupt
    with catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(scan)) == 0


def test_foreign_keys_hold(catalog: Catalog) -> None:
    with pytest.raises(sa.exc.IntegrityError), catalog.write() as connection:
        connection.execute(scan.insert().values(project="nobody's", started_at=0.0))


COLUMNS = ("project", "path", "kind", "size", "mtime", "target", "reason")


def insert_files(catalog: Catalog, rows: list[tuple[Any, ...]]) -> list[Any]:
    with catalog.write() as connection:
        key = connection.execute(scan.insert().values(project="p", started_at=0.0)).inserted_primary_key[0]
        bulk.insert(connection, file, COLUMNS, rows, {"first_scan": key})
    with catalog.read() as connection:
        query = sa.select(*(file.c[name] for name in COLUMNS)).order_by(file.c.id)
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: ascii(value[:20]))
def test_any_bytes_survive_a_bulk_insert(catalog: Catalog, project: str, value: bytes) -> None:
    row = ("p", value, 0, 2**62, -5, value, None)
    assert insert_files(catalog, [row]) == [row]


@pytest.mark.parametrize(
    "text", ["", "\\N", "\\", "\\\\.", "tab\tnew\nline\r", 'it\'s "q"', "\N{SNOWMAN}", "%s"], ids=ascii
)
def test_any_text_survives_a_bulk_insert(catalog: Catalog, project: str, text: str) -> None:
    row = ("p", b"x", -1, 0, 0, None, text)
    assert insert_files(catalog, [row]) == [row]


def test_many_rows_keep_their_order(catalog: Catalog, project: str) -> None:
    rows = [("p", b"%05d" % k + value[:300], 0, k, k, None, None) for k, value in enumerate(NASTY * 500)]
    assert insert_files(catalog, rows) == rows


@pytest.mark.parametrize("count", [1, 99, 100, 101, 249])
def test_rows_that_fill_statements_or_don_t(catalog: Catalog, project: str, count: int) -> None:
    rows = [("p", b"%d" % k, 0, k, k, None, None) for k in range(count)]
    assert insert_files(catalog, rows) == rows


def test_bulk_insert_of_nothing_is_fine(catalog: Catalog, project: str) -> None:
    assert insert_files(catalog, []) == []


def test_paths_are_ordered_by_their_bytes(catalog: Catalog, project: str) -> None:
    paths = sorted({value for value in NASTY if value})
    insert_files(catalog, [("p", path, 0, 0, 0, None, None) for path in reversed(paths)])
    with catalog.read() as connection:
        assert [
            bytes(path) for path in connection.scalars(sa.select(file.c.path).order_by(file.c.path))
        ] == paths


def hold(url: str, name: str, ready: Any, release: Any) -> None:
    with Catalog(url).lock(name):
        ready.set()
        release.wait(60)


@pytest.mark.parametrize("end", ["release", "kill"])
def test_lock_is_exclusive_between_processes_and_ends_with_its_holder(
    catalog: Catalog, catalog_url: str, end: str
) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(catalog_url, "scan p", ready, release))
    holder.start()
    assert ready.wait(60)
    with (
        pytest.raises(BusyError, match="wait for that one"),
        catalog.lock("scan p", busy="wait for that one"),
    ):
        pass
    with catalog.lock("scan q"):
        pass
    if end == "release":
        release.set()
    else:
        assert holder.pid
        os.kill(holder.pid, signal.SIGKILL)
    with catalog.lock("scan p", wait=60):
        pass
    holder.join()


def test_lock_is_exclusive_within_a_process_and_free_after_an_error(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.lock("x"):
        with pytest.raises(BusyError, match="x is running in another process"), catalog.lock("x"):
            pass
        raise ZeroDivisionError
    with catalog.lock("x"):
        pass


def test_locks_leave_no_files(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    with catalog.lock("x"), pytest.raises(BusyError), catalog.lock("x"):
        pass
    assert list((tmp_path / "catalog.db.locks").iterdir()) == []


def test_progress_of_a_killed_task_goes_stale(catalog: Catalog, project: str) -> None:
    reporter = progress.Reporter(catalog, "p", progress.Task(progress.Work.SCAN), 10)
    with reporter:
        (task,) = progress.running(catalog, "p")
        assert (str(task.task), task.done, task.total) == ("scan", 0, 10)
        with catalog.write() as connection:
            old = task.updated_at - progress.STALE - 1
            connection.execute(progress_table.update().values(updated_at=old))
        assert progress.running(catalog, "p") == []
    assert progress.running(catalog, "p") == []


def test_reporter_takes_over_what_a_killed_one_left(catalog: Catalog, project: str) -> None:
    progress.Reporter(catalog, "p", progress.Task(progress.Work.SCAN), 10).__enter__()
    with progress.Reporter(catalog, "p", progress.Task(progress.Work.SCAN), 20):
        assert [task.total for task in progress.running(catalog, "p")] == [20]


def test_unknown_project_says_what_there_is(catalog: Catalog) -> None:
    with pytest.raises(UnknownProjectError, match=r"no project 'x': create it first \(projects: none yet\)"):
        projects.get(catalog, "x")


@pytest.mark.parametrize("name", ["l1\udce9", "a\0b"])
def test_no_project_has_a_name_that_is_no_text(catalog: Catalog, name: str) -> None:
    with pytest.raises(UnknownProjectError, match="no project "):
        projects.get(catalog, name)
    with pytest.raises(DeliveryError, match="no built CAR of project "):
        delivery.named(catalog, "x/0", name)


def test_home_is_dagsters_then_ptolemys_then_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name in ("DAGSTER_HOME", "PTOLEMY_HOME", PG_URL):
        monkeypatch.delenv(name, raising=False)
    assert home() == "/home/someone/.ptolemy"
    monkeypatch.setenv("PTOLEMY_HOME", "/a")
    assert home() == "/a"
    monkeypatch.setenv("DAGSTER_HOME", "/b")
    assert default_url() == "sqlite:////b/catalog.db"


@pytest.mark.parametrize(
    "folder",
    [
        "plain",
        "with space",
        "per%20cent",
        "quest?ion",
        "ha#sh",
        "umla\N{LATIN SMALL LETTER U WITH DIAERESIS}t",
    ],
)
def test_home_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.delenv(PG_URL, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / folder))
    catalog = Catalog()
    with catalog.lock("x"):
        assert projects.names(catalog) == []
    assert sorted(os.listdir(tmp_path)) == [folder]
    assert (tmp_path / folder / "catalog.db").is_file()


def test_postgres_url_is_one_setting_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        monkeypatch.setenv(PG_URL, f"{scheme}://u:p@h:5432/d")
        assert default_url() == "postgresql+psycopg2://u:p@h:5432/d"
    for wrong in ("mysql://u:secret@h/d", "h:5432/d", "/some/path"):
        monkeypatch.setenv(PG_URL, wrong)
        with pytest.raises(SettingsError, match="PTOLEMY_PG_URL must look like postgresql://") as caught:
            default_url()
        assert "secret" not in str(caught.value)


def test_projects_of_the_first_schema_keep_working(tmp_path: Path) -> None:
    """Their new settings are those that change nothing."""
    url = f"sqlite:///{tmp_path}/catalog.db"
    first = importlib.import_module("ptolemy_core.catalog.migrations.versions.0001_first")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            first.upgrade()
        connection.execute(sa.text(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')"))
        connection.execute(
            sa.text("INSERT INTO project VALUES ('old', '/data', '/cars', 1, 31, 'None', 'blitz', 0.0)")
        )
    engine.dispose()
    old = projects.get(Catalog(url), "old")
    same = {"name": "old", "target_dir": "/data", "staging_dir": "/cars"}
    assert old == parse_project(same | {"car_sha256": True})  # as it was before that was a setting
    assert projects.change(Catalog(url), "old", {"exclude": ["*.tmp"]}).exclude == ("*.tmp",)


def test_only_some_settings_can_be_changed(catalog: Catalog, project: str) -> None:
    with pytest.raises(
        SettingsError, match="car_size, name of a project can't be changed, only target_dir, "
    ):
        projects.change(catalog, project, {"name": "q", "car_size": 2, "watch": True})
    assert not projects.get(catalog, project).watch
    with pytest.raises(UnknownProjectError):
        projects.change(catalog, "other", {"watch": True})


def test_values_that_are_missing_in_some_rows_or_the_same_in_many_survive(
    catalog: Catalog, project: str
) -> None:
    rows: list[tuple[Any, ...]] = [
        ("p", b"%03d" % k, k % 3 - 1, 2**62 if k > 120 else 7, -k, b"to" if k % 7 == 0 else None, None)
        for k in range(250)
    ]
    rows[170] = (*rows[170][:6], "it isn't \N{SNOWMAN}")
    assert insert_files(catalog, rows) == rows


def test_the_binary_form_of_a_column_is_that_of_its_type_on_postgres(catalog: Catalog) -> None:
    if not catalog.is_postgres:
        pytest.skip("of Postgres alone")
    forms = {"smallint": ">i2", "integer": ">i4", "bigint": ">i8", "double precision": ">f8", "boolean": "?"}
    query = sa.text(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    )
    with catalog.read() as connection:
        types = {(row[0], row[1]): row[2] for row in connection.execute(query)}
    for table in metadata.tables.values():
        for column in table.columns:
            assert copy_binary.form(column) == forms.get(types[table.name, column.name]), column


def test_no_rows_are_inserted_as_none(catalog: Catalog, project: str) -> None:
    assert insert_files(catalog, []) == []
