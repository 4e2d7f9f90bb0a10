"""A project with built CARs, a server of its pieces, and stand-in providers that deals are made with."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ptolemy_core.catalog import Catalog, deals, projects, providers
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.engines import Engines
from ptolemy_core.deals.manual import ManualEngine
from ptolemy_core.keys.wallets import Wallets, WalletText
from ptolemy_core.stages.deal import record_plan
from ptolemy_core.stages.deal_plan import DealPlan
from ptolemy_core.stages.deal_round import Pace, RoundResult, Rounds, make_round
from tests.provider import ProviderServer
from tests.stages.conftest import Scene

KEY = "7e" * 32
SECRET = "secret-of-the-piece-server"
WALLETS = Wallets([WalletText(f"main=secp256k1:{KEY} eth=delegated:{KEY}", "a test")])


AT_ONCE = Pace(shortest=0.0, longest=0.0, active=0.0)


class CarServer:
    """Staged CARs by ranges, as `<piece CID v1>.car`, for whoever has the secret."""

    def __init__(self, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                car = folder / path.strip("/")
                if query != f"s={SECRET}" or not car.is_file():
                    self.send_error(404)
                    return
                data = car.read_bytes()
                start, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                part = data[int(start) : int(end) + 1]
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
                self.end_headers()
                self.wfile.write(part)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def template(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{{file_name}}?s={{secret}}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Dealing:
    """A scene with providers; time is told by `now`, which only goes on when a test says so."""

    scene: Scene
    servers: dict[str, ProviderServer]
    now: float
    engines: Engines
    folder: Path
    pace: Pace = AT_ONCE
    paused: list[float] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        return self.scene.catalog

    @property
    def name(self) -> str:
        return self.scene.name

    def settings(self, **values: Any) -> None:
        projects.change(self.catalog, self.name, values)

    def plan(self, **more: Any) -> DealPlan:
        return record_plan(self.catalog, self.name, WALLETS, now=lambda: self.now, **more)

    def rounds(self) -> Rounds:
        return Rounds(self.engines, self.pace, lambda: self.now, self.paused.append)

    def round(self, **more: Any) -> RoundResult:
        return make_round(self.catalog, self.name, self.rounds(), **more)

    def rows(self) -> list[DealRow]:
        return deals.select(self.catalog, project=self.name)

    def states(self) -> list[str]:
        return sorted(row.state for row in self.rows())

    def until(self, enough: Callable[[], bool], **more: Any) -> None:
        """Make rounds until something is so."""
        for _ in range(500):
            if enough():
                return
            self.round(**more)
            threading.Event().wait(0.02)
        raise AssertionError([(row.provider, row.state, row.message) for row in self.rows()])

    def all_active(self) -> None:
        self.until(lambda: set(self.states()) == {"active"})

    def deals_at(self, name: str) -> list[Any]:
        return self.servers[name].store.deals()


@contextmanager
def dealing(scene: Scene, tmp_path: Path, names: tuple[str, ...] = ("anna", "bert")) -> Iterator[Dealing]:
    """A scene whose project makes deals with stand-ins of these names."""
    server = CarServer(scene.staging)
    servers = {
        name: ProviderServer(tmp_path / f"provider-{name}", seconds=0.01, fetch_pause=0.01).__enter__()
        for name in names
    }
    made = {"curio": CurioEngine(WALLETS.find, seconds=2), "manual": ManualEngine()}
    for number, (name, provider) in enumerate(servers.items()):
        address = f"f0100{number}"
        provider.market.providers = (address,)
        providers.add(
            scene.catalog, ProviderRow(name, "curio", "mainnet", address, provider.url, rate=10_000)
        )
    try:
        one = Dealing(scene, servers, time.time(), made.__getitem__, tmp_path)
        one.settings(
            replicas=2,
            providers=list(names),
            deal_wallet="main",
            piece_url=server.template,
        )
        yield one
    finally:
        server.close()
        for provider in servers.values():
            provider.__exit__()
