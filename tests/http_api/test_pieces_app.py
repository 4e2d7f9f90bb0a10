"""The piece server as an application within another, under any ASGI server."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ptolemy_core.dag import cid
from ptolemy_core.gateway.access import Access
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.gateway.parts import SIZES, Parts, SharedPart
from ptolemy_dagster.http import sending
from ptolemy_dagster.http.piece_app import Mounted, PieceApp, PieceServer
from ptolemy_dagster.http.sending import Bandwidth, Pump
from tests.gateway.holdings import scene_in
from tests.stages.conftest import PROFILE, Scene

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = scene_in(tmp_path_factory.mktemp("app"), car_storage="generated")
    made.run({b"%02d" % number: bytes([number]) * 900 for number in range(12)})
    assert len(made.cars()) > 2
    return made


@pytest.fixture
def server(stage: Scene) -> Iterator[PieceServer]:
    made = PieceServer(Holdings(stage.catalog, Library(), PROFILE), Access((TOKEN,)))
    yield made
    made.close()


def client(server: PieceServer, address: str = "203.0.113.5") -> TestClient:
    other = FastAPI()

    @other.get("/v0/projects")
    def projects() -> list[str]:
        return []

    return TestClient(Mounted(PieceApp(server), other), client=(address, 5000))


def test_pieces_and_paths_are_served_and_everything_else_is_the_others(
    server: PieceServer, stage: Scene
) -> None:
    http = client(server)
    assert http.get("/v0/projects").json() == []
    assert http.get("/metrics").status_code == 404
    for row in stage.cars():
        answer = http.get(f"/piece/{cid.to_text(row.piece_cid_v2)}")
        assert answer.status_code == 200
        assert len(answer.content) == row.car_size == int(answer.headers["content-length"])
        path = http.get(f"/ipfs/{cid.to_text(row.payload_cid)}?format=car&car-dups=y")
        assert path.content == answer.content


def test_counts_are_for_this_machine_and_for_who_has_a_token(server: PieceServer) -> None:
    outside = TestClient(PieceApp(server), client=("203.0.113.5", 5000))
    assert outside.get("/metrics").status_code == 401
    assert outside.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    inside = TestClient(PieceApp(server), client=("127.0.0.1", 5000))
    text = inside.get("/metrics").text
    assert 'ptolemy_pieces_requests_total{route="other",method="GET",status="401"} 1' in text
    for line in text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2


def test_who_asks_for_more_cars_than_may_be_open_is_told_to_come_again(stage: Scene) -> None:
    library = Library(most=1)
    server = PieceServer(Holdings(stage.catalog, library, PROFILE))
    first, second, *_ = stage.cars()
    http = client(server)
    with library.use(next(iter(_held(stage, first.piece_cid_v1)))):
        answer = http.get(f"/piece/{cid.to_text(second.piece_cid_v1)}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["type"].endswith("too-many-cars")
        assert http.get(f"/piece/{cid.to_text(first.piece_cid_v1)}").status_code == 200
    assert http.get(f"/piece/{cid.to_text(second.piece_cid_v1)}").status_code == 200
    server.close()


def test_an_outline_that_was_written_again_in_the_same_place_is_opened_again(stage: Scene) -> None:
    library = Library()
    (held,) = _held(stage, stage.cars()[0].piece_cid_v1)
    with library.use(held) as first, library.use(held) as second:
        assert first is second
    os.utime(held.stored.outline_path, ns=(1, 1))  # the same inode and size
    with library.use(held) as third:
        assert third is not first
    library.close()


def _held(stage: Scene, piece: bytes) -> Any:
    from ptolemy_core.catalog import served

    return served.pieces(stage.catalog, piece, public=True)


def test_bandwidth_is_shared_by_all_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(sending.time, "monotonic", lambda: now)
    monkeypatch.setattr(sending.asyncio, "sleep", sleep)
    limit = Bandwidth(1_000_000)
    assert limit.part(10_000_000) == 100_000

    async def take() -> None:
        for _ in range(30):
            await limit.take(100_000)

    asyncio.run(take())
    assert 2.8 <= sum(slept) <= 3.0
    assert Bandwidth(0).part(5) == 5


class Taking:
    """A way to a client that takes what it gets in so many seconds a part."""

    can_send_files = False

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.got: list[int] = []

    async def send(self, data: memoryview) -> None:
        self.got.append(len(data))
        self.clock[0] += self.seconds
        await asyncio.sleep(0)

    async def flush(self) -> None:
        pass


class Zeros:
    """A body of that many bytes."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.at_end = False

    def next_part(self, parts: Parts, size: int) -> SharedPart | None:
        if not self.left:
            parts.give_back(size)
            return None
        length = min(self.left, size)
        self.left -= length
        return parts.get((b"zeros", self.left, length), size, lambda view: None)


class Leaving(Taking):
    """A way to a client that leaves before it has taken what it was given."""

    def __init__(self, parts: Parts) -> None:
        super().__init__([0.0], 0)
        self.parts = parts
        self.used: list[int] = []

    async def flush(self) -> None:
        raise sending.ClientGoneError

    def drop(self) -> None:
        self.used.append(self.parts.used)


def test_memory_of_a_part_is_used_again_only_when_a_client_that_left_gets_nothing_more() -> None:
    pump = Pump()
    way, body = Leaving(pump._parts), Zeros(16 << 20)
    with pytest.raises(sending.ClientGoneError):
        asyncio.run(pump.send(body, b"", way))  # type: ignore[arg-type]
    (used,) = way.used
    assert used >= way.got[0]  # what it holds wasn't released yet
    assert pump._parts.used == 0


def test_a_client_that_is_slow_gets_small_parts_and_a_fast_one_large_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(sending.time, "monotonic", lambda: clock[0])
    fast, slow = Taking(clock, 0.01), Taking(clock, 5.0)
    pump = Pump()
    for way in (fast, slow):
        body: Any = Zeros(100 << 20)
        asyncio.run(pump.send(body, b"", way))  # type: ignore[arg-type]
        assert sum(way.got) == 100 << 20
    assert fast.got[4:-1] == [SIZES[-1]] * len(fast.got[4:-1])
    assert slow.got[4:-1] == [SIZES[0]] * len(slow.got[4:-1])
    assert pump._parts.used == 0


def test_clients_that_hold_all_memory_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_WAIT", 0.01)
    pump = Pump()
    while pump._parts.reserve(SIZES[-1]):
        pass
    while pump._parts.reserve(SIZES[0]):
        pass
    used = pump._parts.used
    way, body = Taking([0.0], 0), Zeros(3 << 20)
    asyncio.run(pump.send(body, b"", way))  # type: ignore[arg-type]
    assert sum(way.got) == 3 << 20
    assert max(way.got) == SIZES[0]
    assert pump._parts.used == used
