"""The HTTP API: routes, rates, authentication and answers of market/mk20/http/http.go and mk20_upload.go."""

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ptolemy_core.commp import PieceCommitment, parse_piece_cid
from ptolemy_core.dag import cid
from tests.provider import auth
from tests.provider.faults import Faults
from tests.provider.rules import Market, Refusal, check_deal, piece_of
from tests.provider.store import Deal, Duplicate, Store
from tests.provider.work import Worker

BASE = "/market/mk20"
LARGEST_JSON = 1 << 20
JSON = "application/json"
_ROUTES = [
    ("POST", "/deal"),
    ("GET", "/status/{id}"),
    ("POST", "/update/{id}"),
    ("GET", "/products"),
    ("GET", "/sources"),
    ("GET", "/contracts"),
    ("POST", "/uploads/finalize/{id}"),
    ("PUT", "/uploads/{id}/{number}"),
    ("POST", "/uploads/{id}"),
    ("GET", "/uploads/{id}"),
    ("PUT", "/upload/{id}"),
    ("POST", "/upload/{id}"),
]
_PATTERNS = [
    (method, route, re.compile(BASE + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route) + r"\Z"))
    for method, route in _ROUTES
]


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    body: str = ""
    kind: str = "text/plain; charset=utf-8"
    retry_after: int | None = None


def error(status: int, text: str = "") -> Answer:
    """As Go's http.Error."""
    return Answer(status, text + "\n")


class ProviderServer:
    """A provider that serves in threads of this process.

    Attributes:
        market: what it takes; may be changed while it runs.
        faults: that strike; add some at any time.
        store: its deals.
        clock_offset: seconds that its clock is ahead.
        slow_seconds: that the fault `slow` takes.
        rate, chunk_rate: requests a second for each route and address.
        requests: those that came, as "POST /deal".
        retrievals: ranges of pieces that were asked for.
        spoil: changes the bytes of pieces that are served.
    """

    def __init__(
        self,
        folder: Path,
        market: Market | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        seconds: float = 0.05,
        fetch_pause: float = 1.0,
    ) -> None:
        self.market = market or Market()
        self.faults = Faults()
        self.store = Store(folder)
        self.clock_offset = 0.0
        self.slow_seconds = 3.0
        self.rate, self.chunk_rate = 50, 100
        self.requests: list[str] = []
        self.retrievals: list[str] = []
        self.spoil: Callable[[bytes], bytes] | None = None
        self._stopped = False
        self._counts: dict[tuple[str, str, int], int] = defaultdict(int)
        self._lock = threading.Lock()
        self._parallel = threading.Semaphore(512)
        self.worker = Worker(self.store, seconds, fetch_pause)
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> "ProviderServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._server.shutdown()
        self._server.server_close()
        self.worker.stop()
        self.store.close()

    def now(self) -> float:
        """The provider's time."""
        return time.time() + self.clock_offset

    def limited(self, route: str, client: str) -> bool:
        """Whether a request is one too many in this second."""
        limit = self.chunk_rate if route.startswith("PUT /uploads") else self.rate
        key = (route, client, int(time.monotonic()))
        with self._lock:
            self._counts[key] += 1
            return self._counts[key] > limit

    def answer(self, route: str, names: dict[str, str], client: str, request: "_Handler") -> Answer:
        """Do what an authenticated request asks."""
        if "id" in names and len(names["id"]) != 26:
            return error(400, "invalid id in url")
        id = names.get("id", "")
        deal = self.store.deal(id)
        if route in ("GET /products", "GET /sources"):
            what = route.removeprefix("GET /")
            enabled: dict[str, bool] = getattr(self.market, what)
            body = {what: [name for name, on in enabled.items() if on] or None}
            return Answer(200, json.dumps(body), JSON)
        if route == "GET /contracts":
            return Answer(200, '{"contracts":null}', JSON)
        if route == "POST /deal":
            return self._deal(client, request)
        assert deal is not None  # the check of who asks found it
        if route == "GET /status/{id}":
            body = {"ddo_v1": {"status": deal.state, "errorMsg": deal.error}}
            return Answer(200, json.dumps(body), JSON)
        if route == "POST /update/{id}":
            return self._update(deal, request)
        return self._upload(route, names, deal, request)

    def _deal(self, client: str, request: "_Handler") -> Answer:
        try:
            deal = request.json()
            check_deal(deal, client, self.market)
        except Refusal as refusal:
            return Answer(refusal.code, f"Reason: {refusal.reason}")
        upload = deal["data"].get("source_http_put") is not None
        try:
            self.store.add(deal, client, upload)
        except Duplicate:  # error inserting deal into DB
            return Answer(500, "Reason: ")
        if not upload:
            self.worker.add(deal["identifier"])
        return Answer(200, "Reason: ")

    def _update(self, deal: Deal, request: "_Handler") -> Answer:
        try:
            check_deal(request.json(), deal.client, self.market)
        except Refusal as refusal:
            return Answer(refusal.code, f"Reason: {refusal.reason}")
        return Answer(200, "Reason: ")  # nothing of a whole deal is missing

    def _upload(self, route: str, names: dict[str, str], deal: Deal, request: "_Handler") -> Answer:
        if route == "PUT /upload/{id}":
            return self._serial(deal, request)
        if route == "POST /upload/{id}":
            if deal.upload != "waiting" or not self.store.file(deal.id).exists():
                return error(404, "deal not found")
            return self._finish(deal)
        if route == "GET /uploads/{id}":
            return self._upload_status(deal)
        if route == "POST /uploads/{id}":
            return self._start(deal, request)
        if route == "PUT /uploads/{id}/{number}":
            return self._chunk(deal, names["number"], request)
        if not self.store.chunks(deal.id) or not all(there for _, _, there in self.store.chunks(deal.id)):
            return error(400, "deal upload has not finished")
        return self._finish(deal)

    def _finish(self, deal: Deal) -> Answer:
        self.store.set_upload(deal.id, "")
        self.store.set(deal.id, "accepted")
        self.worker.add(deal.id)
        return Answer(200)

    def _serial(self, deal: Deal, request: "_Handler") -> Answer:
        if deal.upload != "waiting":
            return error(404, "deal not found")
        piece = piece_of(deal.body)
        commitment = PieceCommitment()
        part = self.store.file(deal.id).with_suffix(f".part{threading.get_ident()}")
        with part.open("wb") as file:
            for data in request.body():
                commitment.update(data)
                file.write(data)
        if commitment.size != piece.payload_size:
            return error(400, "piece raw size does not match")
        if commitment.digest() != piece.root:
            return error(400, "piece CID does not match")
        part.replace(self.store.file(deal.id))
        return Answer(200)

    def _upload_status(self, deal: Deal) -> Answer:
        if not deal.upload:
            return error(404, "deal not found")
        chunks = self.store.chunks(deal.id)
        if not chunks:
            return error(425, "upload not initiated")
        there = [number for number, _, complete in chunks if complete]
        missing = [number for number, _, complete in chunks if not complete]
        body = {"total_chunks": len(chunks), "uploaded": len(there), "missing": len(missing)}
        lists = {"uploaded_chunks": there or None, "missing_chunks": missing or None}
        return Answer(200, json.dumps(body | lists), JSON)

    def _start(self, deal: Deal, request: "_Handler") -> Answer:
        try:
            wanted = request.json()
            size, chunk = wanted["raw_size"], wanted["chunk_size"]
        except (Refusal, KeyError, TypeError):
            return error(400, "failed to unmarshal request body")
        if size <= 0 or chunk <= 0:
            return error(400, "raw size must be greater than 0")
        if chunk & (chunk - 1):
            return error(400, "chunk size must be a power of 2")
        if not self.market.min_chunk <= chunk <= self.market.max_chunk:
            return error(400, "chunk size too " + ("small" if chunk < self.market.min_chunk else "large"))
        if deal.upload == "chunked":
            return error(409, "deal upload has already started")
        if deal.upload != "waiting":
            return error(404, "deal not found")
        if size != piece_of(deal.body).payload_size:
            return error(400)
        self.store.start_chunks(deal.id, [min(chunk, size - at) for at in range(0, size, chunk)])
        return Answer(200)

    def _chunk(self, deal: Deal, number: str, request: "_Handler") -> Answer:
        if not self._parallel.acquire(blocking=False):
            return error(429, "too many parallel uploads for provider")
        try:
            if request.headers.get("Content-Type") != "application/octet-stream":
                return error(400, "invalid content type")
            if not number.isdigit() or int(number) < 1:
                return error(400, "chunk must be greater than 0")
            chunk = next((one for one in self.store.chunks(deal.id) if one[0] == int(number)), None)
            if chunk is None:
                return error(404, "chunk not found")
            if chunk[2]:
                return error(409, "chunk already uploaded")
            path = self.store.file(deal.id, chunk[0])
            with path.open("wb") as file:
                size = sum(file.write(data) for data in request.body())
            if size != chunk[1]:
                return error(500)
            self.store.complete_chunk(deal.id, chunk[0])
            return Answer(200)
        finally:
            self._parallel.release()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    provider: ProviderServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The provider's time, which may be off."""
        return formatdate(self.provider.now() if timestamp is None else timestamp, usegmt=True)

    def json(self) -> Any:
        """The body, which must be JSON and say so.

        Raises:
            Refusal: it isn't.
        """
        if self.headers.get("Content-Type") != JSON:
            raise Refusal(400, "invalid content type")
        data = b"".join(self.body(LARGEST_JSON))
        try:
            return json.loads(data)
        except ValueError:
            raise Refusal(400, "invalid json") from None

    def body(self, most: int | None = None) -> Any:
        """The body in parts."""
        left = self._left
        if most is not None and left > most:
            self.close_connection = True
            raise Refusal(400, "request body too large")
        while left:
            data = self.rfile.read(min(left, 1 << 18))
            if not data:
                raise ConnectionError("the body broke off")
            left -= len(data)
            self._left = left
            yield data

    def _piece(self, name: str) -> None:
        """A piece, or a range of it, for anybody: as Curio's own /piece/."""
        provider = self.provider
        provider.retrievals.append(self.headers.get("Range") or "")
        try:
            path = provider.store.piece(parse_piece_cid(cid.from_text(name)).root)
            size = path.stat().st_size
        except (ValueError, OSError):
            self._send(error(404, "piece not found"))
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
        if start >= end:
            self._send(error(416, "invalid range: failed to overlap"))
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "application/piece")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        self.wfile.write(provider.spoil(data) if provider.spoil else data)

    def _handle(self) -> None:
        self._left = int(self.headers.get("Content-Length") or 0)
        path = urlsplit(self.path).path
        if path.startswith("/piece/") and self.command in ("GET", "HEAD"):
            self._piece(path.removeprefix("/piece/"))
            return
        found = [
            (f"{method} {route}", match)
            for method, route, pattern in _PATTERNS
            if method == self.command and (match := pattern.match(path))
        ]
        if not found:
            self._send(error(404, "404 page not found"))
            return
        name, match = found[0]
        self.provider.requests.append(name)
        fault = self.provider.faults.take(name)
        try:
            if not self._before(fault):
                return
            answer = self._answer(name, match.groupdict(), path)
        except Refusal as refusal:
            answer = error(refusal.code, refusal.reason)
        except ConnectionError:
            self.close_connection = True
            return
        self._after(fault, answer)

    def _before(self, fault: str | None) -> bool:
        """Let a fault strike before anything is done; False: there is nothing left to do."""
        answers = {
            "429": Answer(429, "Too Many Requests\n", retry_after=7),
            "500": error(500),
            "503": error(503, "maintenance"),
            "401": error(401, "Unauthorized"),
            "garbage": Answer(200, "<html>Welcome to nginx!</html>", "text/html"),
            "redirect": Answer(302),
        }
        if fault == "no-answer":
            self.close_connection = True
            return False
        if fault in answers:
            self._send(answers[fault])
            return False
        return True

    def _after(self, fault: str | None, answer: Answer) -> None:
        if fault == "no-answer-after":
            self.close_connection = True
        elif fault == "cut-after":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nReas")
            self.close_connection = True
        elif fault in ("500-after", "503-after"):
            self._send(error(int(fault[:3]), "request timeout"))
        else:
            if fault == "slow":
                time.sleep(self.provider.slow_seconds)
            self._send(answer)

    def _answer(self, name: str, names: dict[str, str], path: str) -> Answer:
        """Rates first, then who it is, then whose deal it is, then what is asked."""
        provider = self.provider
        if provider.limited(name, self.client_address[0]):
            return Answer(429, "Too Many Requests\n", retry_after=1)
        header = self.headers.get("Authorization")
        if not header:
            return error(401, "Missing Authorization header")
        try:
            client = str(auth.client_of(header, self.command, path, provider.now(), provider.market.network))
        except auth.AuthError:
            return error(401, "Unauthorized")
        if client in provider.market.denied:
            return error(401, "Unauthorized")
        if "id" in names:
            deal = provider.store.deal(names["id"])
            if deal is None or deal.client != client:
                return error(401, "Unauthorized")
        return provider.answer(name, names, client, self)

    def _send(self, answer: Answer) -> None:
        data = answer.body.encode()
        if self._left:  # what wasn't read of the body
            self.close_connection = True
        try:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(data)))
            if answer.retry_after is not None:
                self.send_header("Retry-After", str(answer.retry_after))
            if answer.status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True
