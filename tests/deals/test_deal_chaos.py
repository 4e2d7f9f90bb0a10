"""Whatever breaks, no deal is lost, none is made twice, and in the end each piece has the replicas that it wants.

Disturbances at random: providers restart or are down, answer with errors before or after they did what was asked,
are slow or say nothing; uploads break off; clocks are off; a wallet has another key, or a secret is missing; our own
process is killed at a random request, before or after it was sent.
"""

import itertools
import os
import random
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import Catalog, deals
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.http_transport import HttpTransport
from ptolemy_core.deals.manual import ManualEngine
from ptolemy_core.deals.states import LIVE
from ptolemy_core.deals.transport import Answer, Request
from ptolemy_core.errors import SettingsError
from ptolemy_core.keys.wallets import Wallets
from ptolemy_core.stages.deal import record_plan
from ptolemy_core.stages.deal_round import Rounds, make_round
from ptolemy_core.stages.replication import replication
from tests.deals.project import AT_ONCE, SECRET, WALLETS, Dealing, dealing
from tests.deals.test_our_side import OTHER
from tests.pipeline.fixtures import postgres
from tests.provider import ProviderServer
from tests.provider.faults import FAULTS
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "postgres", "stage"]

DISTURBANCES = 110
CHUNK = 2048
NAMES = ("anna", "bert", "cleo")
REPLICAS = 2
FILES = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(24)}


class Chaos:
    """A project, its providers, and what is broken now."""

    def __init__(self, one: Dealing, seed: int) -> None:
        self.one = one
        self.random = random.Random(seed)
        self.clock_off = 0.0
        self.done: Counter[str] = Counter()

    def disturb(self) -> None:
        often = ("fault", "fault", "fault", "killed", "killed")
        kind = self.random.choice((*often, "restart", "down", "clock", "other_key", "no_secret"))
        getattr(self, kind)()

    def fault(self) -> None:
        name = self.random.choice(NAMES)
        route = self.random.choice(
            ("POST /deal", "POST /deal", "GET /status/{id}", "GET /products", "PUT /uploads/{id}/{number}")
        )
        fault = self.random.choice(sorted(FAULTS))
        self.one.servers[name].faults.add(route, fault, self.random.randint(1, 4))
        self.done[fault] += 1
        self.make()

    def restart(self) -> None:
        self.stop(name := self.random.choice(NAMES))
        self.start(name)
        self.done["restart"] += 1
        self.make()

    def down(self) -> None:
        self.stop(name := self.random.choice(NAMES))
        self.make()
        self.start(name)
        self.done["down"] += 1

    def clock(self) -> None:
        self.clock_off = self.random.choice((-125.0, 125.0))
        self.make()
        self.clock_off = 0.0
        self.done["clock off"] += 1

    def other_key(self) -> None:
        """Another key is under the wallet's alias for a round."""
        self.make_with(self.one.catalog, HttpTransport(), OTHER)
        self.done["other key"] += 1
        self.pass_time()

    def no_secret(self) -> None:
        """The secret of URLs is missing for a round."""
        secret = os.environ.pop("PTOLEMY_PIECE_SECRET")
        with suppress(SettingsError):  # nothing is planned then
            self.make_with(self.one.catalog, HttpTransport())
        make_round(self.one.catalog, self.one.name, self.rounds(HttpTransport(), WALLETS))
        os.environ["PTOLEMY_PIECE_SECRET"] = secret
        self.done["no secret"] += 1
        self.pass_time()

    def killed(self) -> None:
        """Make a round in a child that ends, as if killed, at a random request, before or after it was sent."""
        at, after = self.random.randint(1, 30), self.random.random() < 0.7
        pid = os.fork()
        if not pid:
            try:
                catalog = Catalog(self.one.catalog.url)
                self.make_with(catalog, KillingTransport(at, after))
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        self.done["killed" if status else "not killed"] += 1
        self.pass_time()

    def stop(self, name: str) -> None:
        self.one.servers[name].__exit__()

    def start(self, name: str) -> None:
        old = self.one.servers[name]
        port = int(old.url.rpartition(":")[2])
        self.one.servers[name] = new_server(old.store.folder, port, old.market)

    def make(self) -> None:
        self.make_with(self.one.catalog, HttpTransport())
        self.pass_time()

    def make_with(self, catalog: Catalog, transport: Any, wallets: Wallets = WALLETS) -> None:
        record_plan(catalog, self.one.name, WALLETS, now=lambda: self.one.now)
        make_round(catalog, self.one.name, self.rounds(transport, wallets))

    def rounds(self, transport: Any, wallets: Wallets) -> Rounds:
        engine = CurioEngine(wallets.find, transport, clock=lambda: time.time() + self.clock_off, seconds=1.0)
        engines = {"curio": engine, "manual": ManualEngine()}
        return Rounds(engines.__getitem__, AT_ONCE, lambda: self.one.now, lambda _: None)

    def pass_time(self) -> None:
        self.one.now += self.random.choice((1.0, 70.0, 700.0, 4000.0))

    def calm(self) -> None:
        """Nothing is broken any more: everything comes to rest."""
        for server in self.one.servers.values():
            server.faults.clear()
        for _ in range(300):
            self.one.now += 4000.0
            self.make()
            rows = [row for row in self.one.rows() if row.live]
            state = replication(self.one.catalog, self.one.name)
            if state.replicated == state.pieces and all(row.state == "active" for row in rows):
                return
            time.sleep(0.02)
        raise AssertionError([(row.provider, row.state, row.tries, row.message) for row in rows])


class KillingTransport:
    """Ends the process at its n-th request."""

    def __init__(self, at: int, after: bool) -> None:
        self._send = HttpTransport()
        self._number = itertools.count(1)
        self._at = at
        self._after = after

    def __call__(self, request: Request) -> Answer:
        last = next(self._number) == self._at
        if last and not self._after:
            os._exit(9)
        answer = self._send(request)
        if last:
            os._exit(9)
        return answer


def new_server(folder: Path, port: int, market: Any) -> ProviderServer:
    server = ProviderServer(folder, market, port=port, seconds=0.01, fetch_pause=0.01)
    server.slow_seconds = 1.3
    return server.__enter__()


def assert_nothing_is_lost_or_doubled(one: Dealing) -> None:
    ours = {row.id: row for row in one.rows()}
    theirs = {deal.id: deal for server in one.servers.values() for deal in server.store.deals()}
    assert theirs.keys() <= ours.keys()
    for id, deal in theirs.items():
        assert (deal.state == "complete") == (ours[id].state == "active"), (deal.state, ours[id])
    assert all(id in theirs for id, row in ours.items() if row.live)
    for name, server in one.servers.items():
        made = Counter(
            deal.body["data"]["piece_cid"]["/"] for deal in server.store.deals() if deal.state != "failed"
        )
        assert set(made.values()) <= {1}, name
    active: dict[bytes, set[str | None]] = defaultdict(set)
    for row in ours.values():
        if row.state == "active":
            active[row.piece_cid_v2].add(row.provider)
    assert {len(active[car.piece_cid_v2]) >= REPLICAS for car in one.scene.cars()} == {True}
    assert all(car.delivered_at for car in one.scene.cars())


def assert_states_went_forward(one: Dealing) -> None:
    for row in one.rows():
        states = [entry.state for entry in deals.history(one.catalog, row.id)]
        places = [LIVE.index(state) for state in states if state in LIVE]  # type: ignore[arg-type]
        assert places == sorted(places)
        assert row.state == states[-1]


@pytest.mark.slow
@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
def test_no_deal_is_lost_or_made_twice_whatever_breaks(
    stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    monkeypatch.setattr("ptolemy_core.stages.deal_upload._SMALL", 0)
    monkeypatch.setattr("ptolemy_core.stages.deal_upload.CHUNK", CHUNK)
    assert len(stage.run(FILES)) == 6
    with dealing(stage, tmp_path, NAMES) as one:
        one.settings(replicas=REPLICAS)
        chaos = Chaos(one, seed=int(os.environ.get("PTOLEMY_TEST_SEED", "1")))
        for name in NAMES:
            chaos.stop(name)
            one.servers[name].market.min_chunk = CHUNK
            chaos.start(name)
        grown = 0
        while sum(chaos.done.values()) < DISTURBANCES:
            chaos.disturb()
            if (
                sum(chaos.done.values()) // 15 > grown
            ):  # new pieces, so that there are deals to make all the time
                grown += 1
                one.settings(deal_transfer=("pull", "push")[grown % 2])
                content = {b"more%d-%d" % (grown, k): bytes([k, grown]) * 512 for k in range(16)}
                stage.run(content)
        chaos.calm()
        print(dict(chaos.done), len(one.rows()), Counter(row.state for row in one.rows()))
        assert_nothing_is_lost_or_doubled(one)
        assert_states_went_forward(one)
