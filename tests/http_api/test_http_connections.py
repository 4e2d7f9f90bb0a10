"""What clients may hold of a server: connections, heads that don't end, bodies that don't come."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import connect

from ptolemy_dagster.http.admission import ConnectionLimits, network
from ptolemy_dagster.http.connections import configured, listen

TIGHT = ConnectionLimits(
    total=12,
    per_address=8,
    head_bytes=4096,
    head_seconds=0.3,
    body_seconds=0.3,
    stalled_seconds=0.3,
    idle_seconds=1,
)
ROOMY = ConnectionLimits(total=12, per_address=8, head_bytes=4096)
BIG = b"x" * (16 << 20)
ARRIVED = threading.Semaphore(0)
"""Released for each request for /slow that the application has got."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes WebSockets; answers /big with much, /slow when it is let, and bodies with their length."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    if scope["path"] != "/early":
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
    if scope["path"] == "/slow":
        ARRIVED.release()
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    content = BIG if scope["path"] == "/big" else str(len(body)).encode()
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def serving(limits: ConnectionLimits) -> Iterator[int]:
    """A server in a thread; its port."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(configured(app, limits, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.force_exit = server.should_exit = True
        thread.join(20)
        listener.close()


@contextmanager
def connected(port: int, text: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(text)
        yield client


def request(path: str = "/", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def answered(port: int) -> bool:
    with connected(port, request(headers="Connection: close\r\n")) as client:
        return read(client).startswith(b"HTTP/1.1 200")


def read(client: socket.socket) -> bytes:
    """All until the connection ends, however it does."""
    parts = b""
    with suppress(ConnectionError):
        while part := client.recv(1 << 16):
            parts += part
    return parts


def opened(port: int, count: int, text: bytes = b"") -> list[socket.socket]:
    """Connections, each of which is known to the server when the next one is made."""
    made = []
    for _ in range(count):
        made.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        with suppress(ConnectionError):
            made[-1].sendall(text)
    return made


@pytest.mark.parametrize("line", [b"", b"X-Long: "])
def test_a_head_without_end_is_cut_off_at_its_limit(line: bytes) -> None:
    with serving(ROOMY) as port, connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + line) as client:
        sent = 0
        with suppress(ConnectionError):
            while sent < (64 << 20):
                client.sendall(b"X-Header: value\r\n" * 1000 if not line else b"x" * 17_000)
                sent += 17_000
        assert sent < (64 << 20)
        assert answered(port)


@pytest.mark.parametrize(
    ("head", "status", "detail"),
    [
        (request(headers="X: " + "x" * 5000 + "\r\n"), 431, "line and headers are longer than 4096 bytes"),
        (request(headers="X: x\r\n" * 900), 431, "longer than 4096 bytes"),
        (request("/" + "x" * 5000), 431, "longer than 4096 bytes"),
        (
            request(headers="Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + request(),
            400,
            "exclude each other",
        ),
        (b"SSH-2.0-client\r\n\r\n", 400, "isn't an HTTP request"),
    ],
    ids=["one header", "many headers", "line", "two lengths", "no HTTP"],
)
def test_a_refused_head_is_a_problem_and_ends_the_connection(head: bytes, status: int, detail: str) -> None:
    with serving(ROOMY) as port, connected(port, head) as client:
        answer, _, body = read(client).partition(b"\r\n\r\n")
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"content-type: application/problem+json" in answer
        assert detail in json.loads(body)["detail"]


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
        request("/") + b"GET /",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunked body", "half a second head"],
)
def test_what_a_client_never_completes_is_ended(start: bytes) -> None:
    with serving(TIGHT) as port, connected(port, start) as client:
        assert b"HTTP/1.1 400" not in read(client)  # which returns when the server has ended it


def test_a_body_that_nobody_wants_is_ended_after_the_answer() -> None:
    head = b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n1"
    with serving(ROOMY) as port, connected(port, head) as client:
        assert read(client).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_its_answer_is_ended() -> None:
    with serving(TIGHT) as port, connected(port, request("/big")) as client:
        threading.Event().wait(2)  # reads nothing meanwhile
        assert len(read(client)) < len(BIG)


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"GET / HTTP/1.1\r\nX: ",
        request("/"),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
        b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
        request("/big"),
    ],
    ids=["idle", "half a head", "kept alive", "half a body", "a body after its answer", "an answer not read"],
)
def test_connections_that_wait_for_their_clients_make_room_for_others(held: bytes) -> None:
    with serving(ROOMY) as port:
        clients = opened(port, 40, held)
        assert answered(port)
        for client in clients:
            client.close()
        assert answered(port)


def test_where_all_connections_have_work_the_next_one_is_told_to_come_again() -> None:
    with serving(ROOMY) as port:
        clients = opened(port, ROOMY.per_address, request("/slow"))
        assert all(ARRIVED.acquire(timeout=20) for _ in clients)
        with connected(port) as client:
            answer = read(client)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 5" in answer
        for client in clients:
            client.close()
        while not answered(port):
            pass


def test_websockets_are_counted_too_and_make_room() -> None:
    with serving(ROOMY) as port, connect(f"ws://127.0.0.1:{port}/") as websocket:
        websocket.send("one")
        assert websocket.recv() == "one"
        clients = opened(port, 30)
        assert answered(port)
        for client in clients:
            client.close()
        with connect(f"ws://127.0.0.1:{port}/") as other:
            other.send("two")
            assert other.recv() == "two"


def test_a_connection_serves_one_request_after_another() -> None:
    with serving(ROOMY) as port, connected(port) as client:
        for _ in range(20):
            client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
            got = b""
            while not got.endswith(b"\r\n\r\n3"):
                got += client.recv(1 << 16)
        client.sendall(request() * 3)  # pipelined
        got = b""
        while got.count(b"HTTP/1.1 200") < 3:
            got += client.recv(1 << 16)


@contextmanager
def without_failure(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a running server logs as an error is one here."""
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.ERROR, logger.name):
        yield
    logger.removeHandler(caplog.handler)
    assert not caplog.records


def test_a_body_that_cannot_be_understood_after_the_answer_ends_the_connection_without_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(ROOMY) as port, without_failure(caplog):
        with connected(port, request("/early", "Transfer-Encoding: chunked\r\n")) as client:
            got = b""
            while not got.endswith(b"\r\n\r\n0"):
                got += client.recv(1 << 16)
            client.sendall(b"no chunk\r\n")
            assert read(client) == b""
        assert answered(port)


@pytest.mark.parametrize("path", ["/", "/early", "/slow"])
def test_a_body_that_cannot_be_understood_before_the_answer_is_no_failure(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(ROOMY) as port, without_failure(caplog):
        with connected(port, request(path, "Transfer-Encoding: chunked\r\n") + b"no chunk\r\n") as client:
            assert read(client).startswith(b"HTTP/1.1 400")
        assert answered(port)


def test_one_address_cannot_take_the_places_of_another() -> None:
    with serving(ROOMY) as port:
        opened_by_one = opened(port, 30)
        with socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.9", 0)) as other:
            got = b""
            for _ in range(2):
                other.sendall(request())
                while not got.endswith(b"\r\n\r\n0"):
                    got += other.recv(1 << 16)
                got += b"\n"
                opened_by_one += opened(port, 30)
            assert got.count(b"HTTP/1.1 200") == 2
        for client in opened_by_one:
            client.close()


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:2") != network("2001:db8:0:1::1")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.1"
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("") == ""


def test_a_process_of_few_descriptors_takes_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (512, 512))
    assert ConnectionLimits.of_machine().total == 128
    monkeypatch.setattr("resource.getrlimit", lambda _: (65536, 65536))
    assert ConnectionLimits.of_machine().total == ConnectionLimits().total
