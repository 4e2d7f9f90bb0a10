"""A provider that runs, a server of pieces for it to fetch from, and deals to propose."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ptolemy_core.commp import PieceCommitment, piece_cid_v2
from ptolemy_core.dag import cid
from ptolemy_core.deals import DealState, Piece, Proposal, Provider, Pull, SourceUrl, new_ulid
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.proposal import Source, provider_of
from ptolemy_core.keys.wallets import Wallet, parse_wallet
from tests.provider import ProviderServer

KEY = "7e" * 32
SIGNED = "signature-SECRET-of-a-url"
TOKEN = "token-SECRET-of-a-header"

WALLETS = {
    "main": parse_wallet(f"secp256k1:{KEY}", "main", "a test"),
    "eth": parse_wallet(f"delegated:{KEY}", "eth", "a test"),
    "other": parse_wallet("secp256k1:" + "7d" * 32, "other", "a test"),
}


class Pieces:
    """Bytes of pieces, and an HTTP server for ranges of them."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.ranges: list[str] = []
        self.break_after: list[int] = []
        pieces = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pieces.ranges.append(self.headers["Range"])
                data = pieces.data.get(self.path.split("?")[0].strip("/"))
                if data is None or SIGNED not in self.path:
                    self.send_error(404)
                    return
                start, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                part = data[int(start) : int(end) + 1]
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
                self.end_headers()
                self.wfile.write(part[: pieces.break_after.pop()] if pieces.break_after else part)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, data: bytes) -> Piece:
        """A piece of some bytes."""
        piece = Piece(
            cid.to_text(piece_cid_v2(PieceCommitment(data).digest(), len(data))),
            cid.to_text(cid.of_digest(cid.RAW, hashlib.sha256(data).digest())),
        )
        self.data[piece.cid] = data
        return piece

    def pull(self, piece: Piece) -> Pull:
        """Where it can be fetched."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/{piece.cid}?sig={SIGNED}"
        return Pull((SourceUrl(url, (("Authorization", f"Bearer {TOKEN}"),)),))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pieces() -> Iterator[Pieces]:
    server = Pieces()
    yield server
    server.close()


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", seconds=0.02, fetch_pause=0.02) as server:
        yield server


@pytest.fixture
def engine() -> CurioEngine:
    return CurioEngine(WALLETS.__getitem__, seconds=5)


def at(server: ProviderServer) -> Provider:
    return provider_of("f01000", "mainnet", server.url)


def wallet(alias: str) -> Wallet:
    return WALLETS[alias]


Make = Callable[..., Proposal]


@pytest.fixture
def make(pieces: Pieces, provider: ProviderServer) -> Make:
    """Makes proposals of a new piece of a few bytes."""

    def proposal(source: Source | None = None, alias: str = "main", data: bytes | None = None) -> Proposal:
        id = new_ulid()
        piece = pieces.add(data if data is not None else id.encode() * 100)
        return Proposal(
            id,
            piece,
            at(provider),
            WALLETS[alias].address("mainnet"),
            alias,
            source or pieces.pull(piece),
        )

    return proposal


def wait_for(engine: CurioEngine, proposal: Proposal, state: DealState) -> list[DealState]:
    """All states that a deal was seen in until it was in this one."""
    seen: list[DealState] = []
    until = time.monotonic() + 30
    while time.monotonic() < until:
        report = engine.status(proposal)
        if not seen or seen[-1] != report.state:
            seen.append(report.state)
        if report.state == state:
            return seen
        assert report.state not in (DealState.FAILED, DealState.ACTIVE), report
        time.sleep(0.03)
    raise AssertionError(f"it is still {seen}")
