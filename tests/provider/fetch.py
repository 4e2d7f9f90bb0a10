"""Fetching a piece as lib/robusthttp does, and its commitment.

GET with `Range: bytes=AT-(SIZE-1)`, no HEAD; 200 only from byte 0, else 206; 15 tries, each from where the last one
ended; 3 redirects; the first header within 30 s, then at most 8 s without a byte and 10 Mbit/s in each 4 s.
"""

import http.client
import time
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from ptolemy_core.commp import PieceCommitment

TRIES = 15
REDIRECTS = 3
HEADER_SECONDS = 30
IDLE_SECONDS = 8
RATE_SECONDS = 4
RATE_BYTES = 10_000_000 // 8 * RATE_SECONDS
_READ = 1 << 18


class FetchError(Exception):
    """A piece can't be fetched, or isn't what was promised."""


def fetch(
    url: str,
    headers: dict[str, list[str]],
    size: int,
    pause: float = 1.0,
    keep: Callable[[bytes], object] = len,
) -> PieceCommitment:
    """The commitment of a piece's bytes.

    Args:
        url: to fetch from.
        headers: to send.
        size: bytes that are expected.
        pause: seconds after a failed request.
        keep: is given the bytes, in order.

    Raises:
        FetchError: it failed 15 times, or has another size.
    """
    commitment = PieceCommitment()
    last = ""
    for _ in range(TRIES):
        try:
            for part in _range(url, headers, commitment.size, size):
                if commitment.size + len(part) > size:
                    raise FetchError(f"piece data is longer than {size} bytes")
                commitment.update(part)
                keep(part)
        except (OSError, http.client.HTTPException) as error:
            last = str(error) or type(error).__name__
            time.sleep(pause)
            continue
        if commitment.size != size:
            raise FetchError(f"piece data has {commitment.size} bytes, expected {size}")
        return commitment
    raise FetchError(f"http read failed after {TRIES} retries: lastErr: {last} (url {url})")


def _range(url: str, headers: dict[str, list[str]], at: int, size: int) -> Iterator[bytes]:
    connection, answer = _open(url, headers, f"bytes={at}-{size - 1}")
    try:
        if answer.status == 200 and at > 0:
            raise OSError("server ignored range header (got 200 OK, expected 206 Partial Content)")
        if answer.status not in (200, 206):
            raise OSError(f"http status: {answer.status}")
        if connection.sock is not None:
            connection.sock.settimeout(IDLE_SECONDS)
        since, read = time.monotonic(), 0
        while part := answer.read1(_READ):
            yield part
            read += len(part)
            if time.monotonic() - since > RATE_SECONDS:
                if read < RATE_BYTES:
                    raise OSError("read rate too slow")
                since, read = time.monotonic(), 0
        if answer.length:
            raise OSError("unexpected EOF")
    finally:
        connection.close()


def _open(
    url: str, headers: dict[str, list[str]], span: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=HEADER_SECONDS)
        connection.putrequest("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        for name, values in headers.items():
            for value in values:
                connection.putheader(name, value)
        connection.putheader("Range", span)
        connection.endheaders()
        answer = connection.getresponse()
        if answer.status not in (301, 302, 303, 307, 308):
            return connection, answer
        url = urljoin(url, answer.headers.get("Location", ""))
        connection.close()
    raise OSError("too many redirects")
