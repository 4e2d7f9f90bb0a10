"""Many at once: texts of CIDs, paths, rows as columns: the same as one by one."""

import os
import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.columns import pages
from ptolemy_core.dag import cid
from ptolemy_core.tree import paths


@pytest.mark.parametrize("count", [0, 1, 300])
def test_texts_of_many_cids_are_those_of_each(count: int) -> None:
    many = [cid.of_digest(random.choice((cid.RAW, cid.DAG_PB)), os.urandom(32)) for _ in range(count)]
    assert cid.to_texts(many) == [cid.to_text(one) for one in many]


@pytest.mark.parametrize(
    "many",
    [
        [],
        [b""],
        [b"", b""],
        [b"a"],
        [b"a\0b", b"c\0d\0e"],
        [b"a\0b", b""],
        [b"back\\slash", b"a"],
        [b"line\nbreak", b"a\0b"],
        [b"\xff\0x", b"a"],
        ["ä\0ö".encode(), b"b"],
    ],
)
def test_many_paths_are_shown_as_each_is(many: list[bytes]) -> None:
    assert paths.escape_all(many) == [paths.escape(path) for path in many]
    assert paths.all_to_slashes(many) == [paths.to_slashes(path) for path in many]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7])
def test_rows_come_as_columns_and_none_is_lost_between_pages(tmp_path: Path, rows: int) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    table = sa.table("numbers", sa.column("number"), sa.column("name"))
    with catalog.write() as connection:
        connection.execute(sa.text("CREATE TABLE numbers (number INTEGER, name BLOB)"))
        for number in range(rows):
            values = {"number": number, "name": b"%d" % number}
            connection.execute(sa.text("INSERT INTO numbers VALUES (:number, :name)"), values)
    query = sa.select(table).where(table.c.number >= sa.bindparam("low")).order_by(table.c.number)
    with catalog.read() as connection:
        found = list(pages(connection, query, 3, low=0))
    assert [len(page[0]) for page in found] == [3] * (rows // 3) + [rows % 3] * (rows % 3 > 0)
    assert [number for page in found for number in page[0]] == list(range(rows))
    assert [name for page in found for name in page[1]] == [b"%d" % number for number in range(rows)]


@pytest.mark.parametrize(("rows", "freed"), [(4, 0), (5, 1), (9, 1)])
def test_sqlite_frees_its_cache_after_a_query_of_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, freed: int
) -> None:
    monkeypatch.setattr("ptolemy_core.catalog.columns._MANY", 5)
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    said: list[str] = []
    sa.event.listen(catalog.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    with catalog.read() as connection:
        values = sa.text(
            f"WITH RECURSIVE n(k) AS (SELECT 1 UNION SELECT k + 1 FROM n WHERE k < {rows}) SELECT k FROM n"
        )
        found = [k for (column,) in pages(connection, values, 2) for k in column]  # type: ignore[arg-type]
    assert found == list(range(1, rows + 1))
    assert said.count("PRAGMA shrink_memory") == freed
