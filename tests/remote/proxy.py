"""A proxy that disturbs: it throttles, answers with errors, and breaks connections after random bytes."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tests.remote.servers import Store

KINDS = ("reset", "cut", "500", "503", "429", "throttle", "silent")

_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>again</Message></Error>"
_CODES = {"500": "InternalError", "503": "SlowDown", "429": "TooManyRequests"}


@dataclass
class Proxy:
    """Stands before a store; disturbs requests until so many were disturbed.

    Attributes:
        store: behind it.
        disturbances: how many are left.
        seed: of what happens.
        before: called with the number of each request, before it is passed on.
        done: what happened, by kind.
        requests: first lines of all requests.
        heads: their headers, first lines included.
        answers: status lines of the answers that were passed on.
    """

    store: Store
    disturbances: int = 0
    seed: int = 0
    share: float = 0.4
    before: Callable[[int], None] = lambda number: None
    done: Counter[str] = field(default_factory=Counter)
    requests: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._ends = False

    @property
    def front(self) -> Store:
        """The store as it is seen through the proxy."""
        return replace(self.store, endpoint=f"http://127.0.0.1:{self._listener.getsockname()[1]}")

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._ends:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        """One request and its answer; then the connection is closed."""
        head = bytearray()
        while b"\r\n\r\n" not in head:
            got = client.recv(65536)
            if not got:
                return
            head += got
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(head) - head.index(b"\r\n\r\n") - 4 < length:
            got = client.recv(65536)
            if not got:
                return
            head += got
        with self._lock:
            self.requests.append(head.split(b"\r\n")[0].decode())
            self.heads.append(head.split(b"\r\n\r\n")[0].decode("latin-1"))
            number = len(self.requests)
            kind = ""
            if self.disturbances and self._random.random() < self.share:
                self.disturbances -= 1
                kind = self._random.choice(KINDS)
                self.done[kind] += 1
            bytes_left = self._random.randrange(2000)
        self.before(number)
        if kind in _CODES:
            body = _ERROR.format(code=_CODES[kind]).encode()
            client.sendall(
                f"HTTP/1.1 {kind} Error\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            return
        if kind == "silent":
            return
        where = urlsplit(self.store.endpoint)
        with socket.create_connection((where.hostname or "", where.port or 80)) as server:
            server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            began = False
            while got := server.recv(512 if kind else 65536):
                if not began:
                    began = True
                    self.answers.append(got.split(b"\r\n")[0].decode("latin-1"))
                if kind == "throttle":
                    time.sleep(0.002)
                if kind in ("reset", "cut"):
                    client.sendall(got[:bytes_left])
                    bytes_left -= len(got)
                    if bytes_left <= 0:
                        if kind == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                else:
                    client.sendall(got)
