"""The embedded catalog's engine: how SQLite is opened, also where it may only be read, and what its errors mean.

A home on a read-only file system (a snapshot, a backup) can be read. SQLite needs to write beside a database in
write-ahead mode, unless it is told that the file never changes; then it ignores a write-ahead log that is still
there. So a database with a log, but without the log's index, is read as a copy, elsewhere.
"""

import errno
import os
import shutil
import sqlite3
import tempfile
import weakref
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext

from ptolemy_core.catalog.place import cannot_write, make_folder, reason
from ptolemy_core.errors import ReadOnlyStateError, StateError

WAIT = 120
"""Seconds to wait for another process's transaction."""

_ADVICE = {
    "SQLITE_FULL": ("its disk is full", "free space there, then run this again"),
    "SQLITE_READONLY": ("it is read-only", "change its permissions, or use a copy of the folder"),
    "SQLITE_CANTOPEN": ("it can't be opened", "check that it is a file which this user may read and write"),
    "SQLITE_CORRUPT": ("it is damaged", "put a backup of the folder back"),
    "SQLITE_NOTADB": ("it isn't a SQLite database", "put a backup of the folder back, or use another folder"),
    "SQLITE_IOERR": (
        "reading or writing it failed",
        "check its disk and the free space on it, then run this again",
    ),
    "SQLITE_BUSY": (
        f"another process used it for longer than {WAIT} s",
        "wait for that process, then run this again",
    ),
    "SQLITE_PERM": ("access is denied", "change its permissions"),
    "SQLITE_AUTH": ("access is denied", "change its permissions"),
    "SQLITE_NOMEM": ("memory is short", "run this again when there is more"),
}
"""By the beginning of SQLite's name of an error: what happened, and what to do."""


def said(error: BaseException, path: str) -> StateError | None:
    """A SQLite error that a user can do something about, in words; None for others."""
    name = getattr(error, "sqlite_errorname", None) or ""
    for begin, (what, remedy) in _ADVICE.items():
        if name.startswith(begin):
            kind = ReadOnlyStateError if begin == "SQLITE_READONLY" else StateError
            return kind(f"the database {path} can't be used, {what} ({error}): {remedy}")
    return None


def is_read_only(path: str) -> bool:
    """Whether a database is there that can't be written."""
    return os.path.isfile(path) and not (
        os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK)
    )


def open_writable(path: str) -> Engine:
    """An engine on a database, which is made if it isn't there.

    Raises:
        StateError: its folder can't be made or written.
    """
    folder = os.path.dirname(path) or "."
    make_folder(folder)
    if not os.path.exists(path) and not os.access(folder, os.W_OK | os.X_OK):
        raise cannot_write(folder, OSError(errno.EACCES, "it can only be read"))
    # not the URL's text: a folder's name may hold a question mark
    place = sa.URL.create("sqlite", database=path)
    engine = sa.create_engine(place, connect_args={"timeout": WAIT, "check_same_thread": False})
    _explain_errors(engine, path)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        _begin_ourselves(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")  # KiB: the inner pages of an index of millions
        connection.execute("PRAGMA wal_autocheckpoint=10000")  # pages: bulk rows are copied less often

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # a writer takes its lock at once: upgrading a read lock later fails when two try
        write = connection.get_execution_options().get("ptolemy_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def open_read_only(path: str) -> Engine:
    """An engine that only reads a database, without writing beside it.

    Raises:
        StateError: it can't be read, or not be copied.
    """
    log = f"{path}-wal"
    if not os.path.exists(log) or not os.path.getsize(log):
        return _reading(path, "immutable=1")
    engine = _reading(
        path, "mode=ro"
    )  # SQLite can read a log whose index is beside it, also one that is in use
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except StateError:
        engine.dispose()
        return open_copy(path)
    return engine


def _reading(path: str, options: str) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///file:{quote(os.fsencode(path))}?{options}&uri=true",
        connect_args={"timeout": WAIT, "check_same_thread": False},
    )
    _explain_errors(engine, path)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        _begin_ourselves(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def open_copy(path: str) -> Engine:
    """An engine on a copy of a database and its write-ahead log, which goes when the engine does.

    Raises:
        StateError: it can't be copied.
    """
    try:
        folder = tempfile.mkdtemp(prefix="ptolemy-read-")
    except OSError as error:
        raise StateError(
            f"{path} can't be written, so a copy of it is read, but there is no folder for the copy "
            f"({reason(error)}): set TMPDIR to one"
        ) from error
    copy = os.path.join(folder, os.path.basename(path))
    try:
        shutil.copyfile(path, copy)
        if os.path.exists(f"{path}-wal"):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StateError(
            f"{path} can't be written, so a copy of it is read, but copying it to {folder} failed "
            f"({reason(error)}): set TMPDIR to a folder with enough free space"
        ) from error
    engine = open_writable(copy)
    weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)
    return engine


def _begin_ourselves(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # transactions are begun by the listener of "begin"


def _explain_errors(engine: Engine, path: str) -> None:
    @event.listens_for(engine, "handle_error")
    def _handle(context: ExceptionContext) -> None:
        known = said(context.original_exception, path)
        if known is not None:
            raise known from context.original_exception
