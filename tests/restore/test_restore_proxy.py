"""Restore through the HTTP proxy that the environment names."""

import base64
import http.client
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ptolemy_core.restore import http_ranges
from ptolemy_core.restore.http_ranges import FetchError, HttpRanges
from ptolemy_core.restore.proxies import proxy_for

from .servers import Provider, provider

CAR = os.urandom(100_000)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass
class Seen:
    """What a proxy was asked."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)


@contextmanager
def proxy(to: Provider) -> Iterator[Seen]:
    """A proxy that finds this provider behind every name."""
    seen, there = Seen(), urlsplit(to.url)
    target = (there.hostname or "", there.port or 0)

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.note()
            there = http.client.HTTPConnection(*target)
            there.request("GET", urlsplit(self.path).path, headers=dict(self.headers.items()))
            answer = there.getresponse()
            data = answer.read()
            there.close()
            self.send_response(answer.status)
            self.send_header("Content-Range", answer.headers["Content-Range"])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_CONNECT(self) -> None:
            self.note()
            if "refused" in self.path:
                self.send_error(403, "not to there")
                return
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(target) as sock:
                ends = {sock: self.connection, self.connection: sock}
                while True:
                    for one in select.select(list(ends), [], [], 10)[0]:
                        data = one.recv(65536)
                        if not data:
                            self.close_connection = True
                            return
                        ends[one].sendall(data)

        def note(self) -> None:
            seen.lines.append(self.requestline)
            seen.authorizations.append(self.headers.get("Proxy-Authorization"))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    seen.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Provider]:
    (tmp_path / "baga.car").write_bytes(CAR)
    with provider(tmp_path) as made:
        yield made


def fetched(url: str) -> bytes:
    ranges, buffer = HttpRanges(), bytearray(1000)
    try:
        for at in (5000, 7000):
            ranges.fetch_into(url, at, memoryview(buffer))
            assert bytes(buffer) == CAR[at : at + 1000]
    finally:
        ranges.close()
    return bytes(buffer)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_ranges_come_through_the_proxy_of_the_environment(
    served: Provider, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(served) as seen:
        monkeypatch.setenv(variable, f"http://me:p%40ss@127.0.0.1:{seen.port}")
        fetched("http://provider.example/piece/baga")
    assert seen.lines == ["GET http://provider.example/piece/baga HTTP/1.1"] * 2
    assert set(seen.authorizations) == {"Basic " + base64.b64encode(b"me:p@ss").decode()}
    assert [one["Host"] for one in served.headers] == ["provider.example"] * 2


def test_servers_of_no_proxy_and_this_machine_are_asked_directly(
    served: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    fetched(f"{served.url}/piece/baga")
    monkeypatch.setenv("NO_PROXY", "example.org,.internal")
    assert proxy_for("https://example.org/x") is None
    assert proxy_for("http://deep.internal:8080/x") is None
    assert proxy_for("http://[::1]:8080/x") is None
    assert proxy_for("https://example.com/x") is not None


def test_tls_goes_through_a_tunnel_to_the_server_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "baga.car").write_bytes(CAR)
    with provider(tmp_path) as plain, proxy(plain) as seen:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{seen.port}")
        ranges = HttpRanges()
        with pytest.raises(FetchError, match="gives no connection.*403"):
            ranges.fetch_into("https://refused.example/piece/baga", 0, memoryview(bytearray(10)))
        with pytest.raises(FetchError, match="SSLError"):  # what is behind the proxy speaks no TLS: no bytes
            ranges.fetch_into("https://provider.example/piece/baga", 0, memoryview(bytearray(10)))
        ranges.close()
    asked = [line.rpartition(" ")[0] for line in seen.lines]
    assert asked == ["CONNECT refused.example:443", "CONNECT provider.example:443"]
    assert plain.requests == []


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1080", "https://127.0.0.1:3128", "http://127.0.0.1:x"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named.replace("//", "//me:secret@"))
    with pytest.raises(FetchError, match="HTTPS_PROXY") as caught:
        HttpRanges().fetch_into("https://provider.example/x", 0, memoryview(bytearray(10)))
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(FetchError, match=f"the proxy 127.0.0.1:{port} gives no connection"):
        HttpRanges().fetch_into("http://provider.example/x", 0, memoryview(bytearray(10)))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "localhost"])
def test_behind_a_proxy_a_redirect_to_a_private_address_is_refused_too(address: str) -> None:
    assert http_ranges._is_private(address)
    assert not http_ranges._is_private("provider.example")
