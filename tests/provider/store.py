"""What the provider remembers: deals in SQLite, uploaded bytes in files. Both are there again after a restart."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS deal (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    upload TEXT NOT NULL DEFAULT ''  -- waiting, chunked or empty
);
CREATE TABLE IF NOT EXISTS chunk (
    id TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, complete INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, number)
);
"""


class Duplicate(Exception):
    """A deal of that ID is there."""


@dataclass(frozen=True)
class Deal:
    """A deal as it is kept."""

    id: str
    client: str
    body: dict[str, Any]
    state: str
    error: str
    upload: str


class Store:
    """The provider's memory. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(folder / "deals.sqlite", check_same_thread=False)
        self._connection.executescript(_TABLES)
        self._lock = threading.RLock()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            yield self._connection

    def add(self, deal: dict[str, Any], client: str, upload: bool) -> None:
        """Keep a new deal.

        Raises:
            Duplicate: its ID was used.
        """
        try:
            with self._change() as connection:
                connection.execute(
                    "INSERT INTO deal (id, client, body, state, upload) VALUES (?, ?, ?, ?, ?)",
                    (
                        deal["identifier"],
                        client,
                        json.dumps(deal),
                        "uploading" if upload else "accepted",
                        "waiting" if upload else "",
                    ),
                )
        except sqlite3.IntegrityError:
            raise Duplicate from None

    def deals(self) -> list[Deal]:
        """All deals."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, client, body, state, error, upload FROM deal ORDER BY rowid"
            )
            return [Deal(row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows]

    def deal(self, id: str) -> Deal | None:
        """The deal of an ID."""
        with self._lock:
            row = self._connection.execute(
                "SELECT id, client, body, state, error, upload FROM deal WHERE id = ?", (id,)
            ).fetchone()
        return None if row is None else Deal(row[0], row[1], json.loads(row[2]), *row[3:])

    def set(self, id: str, state: str, error: str = "") -> None:
        """A deal's new state."""
        with self._change() as connection:
            connection.execute("UPDATE deal SET state = ?, error = ? WHERE id = ?", (state, error, id))

    def set_upload(self, id: str, upload: str) -> None:
        """How a deal's upload is: waiting, chunked, or over."""
        with self._change() as connection:
            connection.execute("UPDATE deal SET upload = ? WHERE id = ?", (upload, id))

    def start_chunks(self, id: str, sizes: list[int]) -> None:
        """Expect chunks of these sizes."""
        with self._change() as connection:
            connection.executemany(
                "INSERT INTO chunk (id, number, size) VALUES (?, ?, ?)",
                [(id, number, size) for number, size in enumerate(sizes, 1)],
            )
            connection.execute("UPDATE deal SET upload = 'chunked' WHERE id = ?", (id,))

    def chunks(self, id: str) -> list[tuple[int, int, bool]]:
        """Number, size and whether it is there, of each chunk."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT number, size, complete FROM chunk WHERE id = ? ORDER BY number", (id,)
            )
            return [(number, size, bool(complete)) for number, size, complete in rows]

    def complete_chunk(self, id: str, number: int) -> None:
        """A chunk is there."""
        with self._change() as connection:
            connection.execute("UPDATE chunk SET complete = 1 WHERE id = ? AND number = ?", (id, number))

    def reset_upload(self, id: str) -> None:
        """Drop what was uploaded, as is done an hour after an upload stopped."""
        with self._change() as connection:
            connection.execute("DELETE FROM chunk WHERE id = ?", (id,))
            connection.execute("UPDATE deal SET upload = 'waiting' WHERE id = ?", (id,))

    def file(self, id: str, number: int = 0) -> Path:
        """Where the bytes of a chunk are; number 0: those of a serial upload."""
        return self.folder / f"{id}.{number}"

    def piece(self, root: bytes) -> Path:
        """Where the bytes of a piece are, once they were checked."""
        return self.folder / f"{root.hex()}.piece"

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()
