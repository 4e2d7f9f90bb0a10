"""CARs at storage providers and other servers: their bytes by ranges over HTTP, for the reader in place of a file.

Several servers may have a piece. They are asked in the order given; one that fails, or whose bytes turn out to be
wrong, isn't asked for that piece again while another one is left.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ptolemy_core.car import nodes
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.errors import PtolemyError
from ptolemy_core.reader.ranges import Ranges
from ptolemy_core.restore.http_ranges import (
    PLACEHOLDERS,
    FetchError,
    HttpOptions,
    HttpRanges,
    check_template,
    filled,
)

_AHEAD, _MOST_AHEAD = 4 << 10, 64 << 10
"""Bytes that are read with a section's head, and where many sections are read in order."""

_PAUSES = (0.2, 1.0)
"""Seconds before a server that failed is asked again."""


class RemoteError(PtolemyError):
    """No server gives a piece."""

    code = "piece-unavailable"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where pieces are.

    Attributes:
        templates: URLs with `{piece}` for the piece CID v1, or `{piece_v2}`, in the order in which they are asked.
        http: how they are asked.
    """

    templates: tuple[str, ...]
    http: HttpRanges = field(default_factory=HttpRanges)

    @classmethod
    def of(cls, templates: Sequence[str], options: HttpOptions | None = None) -> "Servers":
        """Servers of these templates.

        Raises:
            RemoteError: one can't be used.
        """
        for template in templates:
            try:
                check_template(template)
            except ValueError as error:
                raise RemoteError(f"--from {template!r} can't be used: {error}") from None
        return cls(tuple(templates), HttpRanges(options))

    def piece(self, row: CarRow) -> "RemotePiece":
        """The CAR of a receipt."""
        return RemotePiece(self, row)


@dataclass(eq=False, slots=True)
class _Server:
    """One server of a piece: its URL, and why it isn't asked any more."""

    url: str
    fault: str = ""


class RemotePiece(Ranges):
    """The bytes of a CAR at several servers. Any thread may read.

    Attributes:
        name: for messages.
        size: bytes of the CAR; a piece's padding isn't read.
    """

    def __init__(self, servers: Servers, row: CarRow) -> None:
        v1, v2 = cid.to_text(row.piece_cid_v1), cid.to_text(row.piece_cid_v2)
        names = dict.fromkeys(PLACEHOLDERS[:3], v1) | dict.fromkeys(PLACEHOLDERS[3:], v2)
        self.name = f"piece {v1}"
        self.size = row.car_size
        self._http = servers.http
        self._servers = [_Server(filled(template, names)) for template in servers.templates]
        self._header = nodes.header(row.payload_cid)
        self._used = threading.local()
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The URL that is asked first."""
        return next((one.url for one in self._servers if not one.fault), self._servers[0].url)

    def find(self) -> str:
        """Ask the servers for the CAR's header; why none of them has it, empty if one has.

        Those that don't aren't asked for more.
        """
        for server in self._servers:
            found = bytearray(len(self._header))
            try:
                self._http.fetch_into(server.url, 0, memoryview(found))
            except FetchError as error:
                server.fault = str(error)
                continue
            if bytes(found) == self._header:
                return ""
            server.fault = "it has another CAR under this piece CID"
        return self._faults()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`; they aren't checked yet.

        Raises:
            RemoteError: no server gives them; the message says why of each.
        """
        known = len(self._header)
        if offset < known:  # it follows from the receipt
            part = self._header[offset : offset + len(buffer)]
            buffer[: len(part)] = part
            offset, buffer = offset + len(part), buffer[len(part) :]
        if not buffer:
            return
        while (server := self._next()) is not None:
            if self._fetch(server, offset, buffer):
                return
        raise RemoteError(f"{self.name} can't be fetched: {self._faults()}")

    def _fetch(self, server: _Server, offset: int, buffer: memoryview) -> bool:
        """Ask one server, a few times; whether it gave the bytes."""
        for pause in (*_PAUSES, None):
            try:
                self._http.fetch_into(server.url, offset, buffer)
            except FetchError as error:
                if pause is None or server.fault:
                    self._give_up(server, str(error))
                    return False
                time.sleep(pause)
            else:
                self._used.server = server
                return True
        return False

    def distrust(self) -> bool:
        """Say that the bytes that this thread read last are wrong; whether another server is left to ask."""
        server = getattr(self._used, "server", None)
        if server is None:
            return False
        self._give_up(server, "it sent bytes that aren't the CAR's")
        return self._next() is not None

    def worth(self, size: int, offset: int) -> int:
        """How much of `size` bytes is worth to be read in advance: each byte has to be transferred."""
        if offset < len(self._header):
            return min(size, len(self._header) - offset)  # it is known
        return min(size, _AHEAD if size <= _MOST_AHEAD else _MOST_AHEAD)

    def close(self) -> None:
        """Nothing: connections are kept for other pieces."""

    def _next(self) -> _Server | None:
        return next((one for one in self._servers if not one.fault), None)

    def _give_up(self, server: _Server, why: str) -> None:
        with self._lock:
            server.fault = server.fault or why

    def _faults(self) -> str:
        return "; ".join(f"{_host(one.url)}: {one.fault}" for one in self._servers)


def _host(url: str) -> str:
    """A URL without what may be secret in it."""
    return url.partition("?")[0]
