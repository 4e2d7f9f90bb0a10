"""Where state is: homes that can't be, and Postgres URLs that can't be, without a word of a password."""

from pathlib import Path

import pytest

from ptolemy_core.catalog import PG_URL, Catalog, default_url, home
from ptolemy_core.catalog.outage import PATIENCE, patience
from ptolemy_core.errors import SettingsError, StateError

WRONG_URLS = [
    "postgresql://u:s3cr@127.0.0.1:s3crport/db",
    "postgresql://u:s3cr@et@127.0.0.1/db",
    "postgresql://u:s3cr/et@127.0.0.1/db",
    "postgresql://u:s3cr#et@127.0.0.1/db",
    "postgresql://u:s3cr?et@127.0.0.1/db",
    "postgresql://u:s3cr%et@127.0.0.1/db",
    "postgresql://u:s3cr%00et@127.0.0.1/db",
    "postgresql://u:s3cr et@127.0.0.1/db",
    "postgresql://u:s3cr\n@127.0.0.1/db",
    "postgresql://u:s3cr\udcff@127.0.0.1/db",
    "postgresql://u:s3cret/db",
    "postgresql://u:s3cret@[::1/db",
    "postgresql://u:s3cret@127.0.0.1:65536/db",
    "postgresql:/u:s3cret@127.0.0.1/db",
    "s3cr://u:s3cret@127.0.0.1/db",
    "u:s3cret@127.0.0.1/db",
    "s3cret",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_postgres_url_that_cannot_be_is_refused_and_nothing_of_it_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PG_URL, url)
    with pytest.raises(SettingsError, match="PTOLEMY_PG_URL") as caught:
        default_url()
    assert "s3cr" not in str(caught.value)
    assert "postgresql://user:password@host:5432/database" in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "u:p%40%2F%3A%25@h:5432/d",
        "u:p:q@h/d",
        "u@h",
        "/d?host=/run/pg&user=u",
        "u:p@[::1]:5432/d",
        "",
        "h:/d",
    ],
)
def test_a_postgres_url_with_what_needs_it_quoted_is_taken(
    rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PG_URL, f"postgresql://{rest}")
    assert default_url() == f"postgresql+psycopg2://{rest}"


@pytest.mark.parametrize("variable", ["DAGSTER_HOME", "PTOLEMY_HOME"])
def test_a_relative_home_is_refused_with_the_absolute_one(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv(variable, "state")
    with pytest.raises(
        SettingsError, match=f"{variable} must be an absolute path, got 'state'.*use {tmp_path}/"
    ):
        home()


def test_a_home_is_not_made_below_the_current_folder_where_a_user_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("PTOLEMY_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(SettingsError, match="no home directory.*set DAGSTER_HOME"):
        home()


@pytest.mark.parametrize(
    ("place", "why"),
    [("file", "is a file, not a folder"), ("file/below", "Not a directory"), ("/proc/none", "No such file")],
)
def test_a_home_that_cannot_be_made_is_named(
    place: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.delenv(PG_URL, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / place))
    with pytest.raises(StateError, match=why) as caught:
        Catalog()
    assert str(tmp_path / place) in str(caught.value)
    assert "set DAGSTER_HOME to a folder" in str(caught.value)


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_catalog_that_is_no_database_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(content)
    with pytest.raises(StateError, match=rf"the database {tmp_path}/catalog.db can't be used"):
        Catalog(f"sqlite:///{tmp_path}/catalog.db")


@pytest.mark.parametrize("text", ["soon", "nan", "-1", "inf"])
def test_a_patience_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, text)
    with pytest.raises(SettingsError, match=f"PTOLEMY_PG_PATIENCE must be a number of seconds.*got '{text}'"):
        patience()
