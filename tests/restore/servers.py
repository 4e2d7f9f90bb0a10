"""Servers of pieces for tests: right ones, and ones that lie in each way that HTTP allows."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answering = Callable[["Handler", bytes, int, int], None]
"""Answers a request for bytes `first` to `last` of a CAR."""


@dataclass
class Provider:
    """A running server: its address, and what it was asked."""

    url: str
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0

    @property
    def template(self) -> str:
        return self.url + "/piece/{piece}"


class Handler(BaseHTTPRequestHandler):
    """Hands requests to what answers them."""

    protocol_version = "HTTP/1.1"
    provider: Provider
    folder: Path
    answering: Answering

    def do_GET(self) -> None:
        range_ = self.headers.get("Range")
        self.provider.requests.append((self.path, range_))
        self.provider.headers.append(dict(self.headers))
        place = self.folder / (self.path.rpartition("/")[2] + ".car")
        if not place.is_file():
            self.send_error(404)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", range_ or "")
        assert found, "Ptolemy always asks for ranges"
        with suppress(ConnectionError):
            type(self).answering(self, place.read_bytes(), int(found[1]), int(found[2]))

    def log_message(self, *_: Any) -> None:
        pass

    def give(self, data: bytes, status: int = 206, **headers: str) -> None:
        """Send an answer with these headers; `_` in names is `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not any(name.lower() == "content_length" for name in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.provider.sent += len(data)


def honest(handler: Handler, car: bytes, first: int, last: int) -> None:
    """The range, as RFC 9110 has it."""
    part = car[first : last + 1]
    handler.give(part, Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(car)}")


@contextmanager
def provider(folder: Path, answering: Answering = honest) -> Iterator[Provider]:
    """A server of the CARs in a folder while the block lasts."""
    made = Provider("")

    class Own(Handler):
        pass

    Own.provider, Own.folder, Own.answering = made, folder, staticmethod(answering)  # type: ignore[assignment]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
