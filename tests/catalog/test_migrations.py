"""Old catalogs are brought to the newest schema with their rows, by one process at a time."""

import multiprocessing
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from ptolemy_core.catalog import Catalog, cars, delivery, migrations, removal, replicas, schema, store
from ptolemy_core.errors import SettingsError
from ptolemy_core.ulid import is_ulid

PATH = b"\xff'\n\0name"


def at_first_revision(url: str) -> None:
    """A catalog as the first version made it, with a row in each table."""
    catalog = Catalog.__new__(Catalog)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(Catalog, "_upgrade", lambda self: None)
    catalog.__init__(url)  # type: ignore[misc]
    monkey.undo()
    scripts = ScriptDirectory(migrations.__path__[0])
    with (
        catalog.write() as connection,
        EnvironmentContext(
            migrations.config(), scripts, fn=lambda revision, _: scripts._upgrade_revs("0001", revision)
        ) as environment,
    ):
        environment.configure(connection=connection, version_table=migrations.VERSION_TABLE)
        environment.run_migrations()
    rows: dict[str, dict[str, Any]] = {
        "project": {
            "name": "old",
            "target_dir": "/t",
            "staging_dir": "/s",
            "shard_size": 1,
            "car_size": 31,
            "encryption": "None",
            "load_type": "blitz",
            "created_at": 1.5,
        },
        "scan": {"id": 1, "project": "old", "started_at": 2.5, "finished_at": 3.5},
        "file": {"id": 1, "project": "old", "path": PATH, "kind": 0, "size": 7, "mtime": -1, "first_scan": 1},
        "container": {
            "id": 1,
            "project": "old",
            "number": 0,
            "items": 1,
            "data_bytes": 7,
            "car_size": 2**40,
            "piece_size": 2**41,
            "planned_at": 4.5,
        },
        "shard": {"container_id": 1, "position": 0, "file_id": 1, "number": -1, "start": 0, "length": 7},
        "car": {
            "container_id": 1,
            "file_name": "x.car",
            "payload_cid": b"\x01",
            "piece_cid_v1": b"\x02",
            "piece_cid_v2": b"\x03",
            "car_size": 2**40,
            "piece_size": 2**41,
            "built_at": 5.5,
            "build_seconds": 0.5,
        },
        "built_shard": {"container_id": 1, "position": 0, "cid": b"\x04", "car_offset": 59},
        "progress": {"project": "old", "task": "scan", "done": 1, "started_at": 6.5, "updated_at": 7.5},
    }
    with catalog.write() as connection:
        for table, row in rows.items():
            columns = [sa.column(name) for name in row]
            connection.execute(sa.table(table, *columns).insert().values(row))
    catalog.engine.dispose()


def to_revision(url: str, revision: str) -> None:
    """Upgrade a catalog to a revision that isn't the newest."""
    scripts = ScriptDirectory(migrations.__path__[0])
    engine = sa.create_engine(url)
    with (
        engine.begin() as connection,
        EnvironmentContext(
            migrations.config(), scripts, fn=lambda now, _: scripts._upgrade_revs(revision, now)
        ) as environment,
    ):
        environment.configure(connection=connection, version_table=migrations.VERSION_TABLE)
        environment.run_migrations()
    engine.dispose()


def contents(url: str, tables: dict[str, list[str]] | None = None) -> dict[str, list[dict[str, Any]]]:
    """All rows, of these columns of these tables."""
    engine = sa.create_engine(url)
    found = {}
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in tables or inspector.get_table_names():
            if table == migrations.VERSION_TABLE:
                continue
            names = tables[table] if tables else [c["name"] for c in inspector.get_columns(table)]
            query = sa.select(*map(sa.column, names)).select_from(sa.table(table))
            found[table] = [
                {k: bytes(v) if isinstance(v, memoryview) else v for k, v in row.items()}
                for row in connection.execute(query).mappings()
            ]
    engine.dispose()
    return found


@pytest.fixture
def old(catalog_url: str) -> str:
    at_first_revision(catalog_url)
    return catalog_url


def test_an_old_catalog_is_upgraded_with_all_its_rows(old: str) -> None:
    before = contents(old)
    Catalog(old).engine.dispose()
    engine = sa.create_engine(old)
    with engine.connect() as connection:
        version = connection.scalar(sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}"))
    engine.dispose()
    assert version == store.REVISION == migrations.newest()
    columns = {table: list(rows[0]) for table, rows in before.items()}
    assert contents(old, columns) == before
    assert before["file"][0]["path"] == PATH


def upgrade(url: str, go: Any, results: Any) -> None:
    go.wait(60)
    try:
        Catalog(url).engine.dispose()
        results.put("fine")
    except BaseException as error:
        results.put(repr(error))


@pytest.mark.parametrize("start", ["old", "empty"])
def test_processes_that_open_it_at_once_upgrade_it_once(catalog_url: str, start: str) -> None:
    if start == "old":
        at_first_revision(catalog_url)
    context = multiprocessing.get_context("spawn")
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=upgrade, args=(catalog_url, go, results)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    assert [results.get(timeout=120) for _ in processes] == ["fine"] * 3
    for process in processes:
        process.join()
    assert ("old" in {row["name"] for row in contents(catalog_url)["project"]}) == (start == "old")


def test_a_catalog_of_a_newer_version_is_refused(catalog_url: str) -> None:
    catalog = Catalog(catalog_url)
    with catalog.write() as connection:
        connection.execute(sa.text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'"))
    catalog.engine.dispose()
    with pytest.raises(SettingsError, match=r"revision 9999.*newer.*upgrade Ptolemy"):
        Catalog(catalog_url)


def test_marks_of_delivery_become_deals_made_by_hand(old: str) -> None:
    to_revision(old, "0013")
    engine = sa.create_engine(old)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE car SET delivered_at = 77.5, delivered_to = 'shelf 3'"))
    engine.dispose()
    catalog = Catalog(old)
    (car,) = cars.rows(catalog, "old")
    assert (car.delivered_at, car.delivered_to) == (77.5, "shelf 3")
    with catalog.read() as connection:
        (mark,) = connection.execute(sa.select(schema.deal)).mappings()
        (entry,) = connection.execute(sa.select(schema.deal_state)).mappings()
    assert (mark["engine"], mark["state"], mark["provider"], mark["message"]) == (
        "manual",
        "active",
        None,
        "shelf 3",
    )
    assert (mark["created_at"], entry["at"], entry["state"]) == (77.5, 77.5, "active")
    assert is_ulid(mark["id"])
    replicas.settle(catalog, "old")
    assert next(cars.rows(catalog, "old")).delivered_at == 77.5
    delivery.unmark(catalog, car)
    assert next(cars.rows(catalog, "old")).delivered_at is None
    catalog.engine.dispose()


def file_table(url: str) -> tuple[int, int | None]:
    """How many foreign keys the table of files has, and where SQLite keeps its rows."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        keys = len(sa.inspect(connection).get_foreign_keys("file"))
        place = None
        if engine.dialect.name == "sqlite":
            place = connection.scalar(sa.text("SELECT rootpage FROM sqlite_master WHERE name = 'file'"))
            assert connection.scalar(sa.text("PRAGMA integrity_check")) == "ok"
    engine.dispose()
    return keys, place


def test_files_lose_their_foreign_keys_and_stay_where_they_are(old: str) -> None:
    keys, place = file_table(old)
    assert keys == 3
    before = contents(old, {"file": ["path", "size", "first_scan", "gone_scan"]})
    catalog = Catalog(old)
    assert file_table(old) == (0, place)
    assert contents(old, {table: list(rows[0]) for table, rows in before.items()}) == before
    with catalog.write() as connection:
        added = {
            "id": 9,
            "project": "nobody",
            "path": b"x",
            "kind": 0,
            "size": 1,
            "mtime": 1,
            "first_scan": 99,
        }
        connection.execute(schema.file.insert().values(added))
    catalog.engine.dispose()


def test_an_sqlite_whose_definitions_cannot_be_edited_keeps_the_keys(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    at_first_revision(url)

    def refuse(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE sqlite_master"):
            refused = Exception("table sqlite_master may not be modified")
            raise sa.exc.OperationalError(statement, {}, refused)

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", refuse)
    try:
        catalog = Catalog(url)
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", refuse)
    assert file_table(url)[0] == 3
    removal.delete(catalog, "old")
    assert contents(url, {"file": ["id"], "scan": ["id"]}) == {"file": [], "scan": []}
    catalog.engine.dispose()
