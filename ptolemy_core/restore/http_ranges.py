"""Byte ranges over HTTP, from servers that may lie: short, wrong and endless answers, and redirects to elsewhere.

A range is taken only if the answer is exactly it: status 206, Content-Range, no encoding, all of its bytes in time.
What the bytes are is for the caller to check. Proxies of the environment are used. Specification: RFC 9110,
section 14.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from ptolemy_core.restore.proxies import Proxy, is_loopback, proxy_for

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_PART = 1 << 20
_SLOWEST = 32 << 10
"""Bytes a second that a server must send on average."""


PLACEHOLDERS = ("piece", "piece_cid", "piece_cid_v1", "piece_v2", "piece_cid_v2")
"""What a template of URLs may have in braces: three names of the piece CID v1, two of v2."""


class FetchError(Exception):
    """A range that couldn't be fetched, and why."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How ranges are fetched.

    Attributes:
        seconds: for connecting, and for each wait for the server.
        token: sent as a bearer token to the servers that were named, never to where they redirect to.
        private_redirects: whether a public server may redirect to a private address, such as 127.0.0.1 or 10.1.2.3.
            What a name stands for is only seen without a proxy.
    """

    seconds: float = 30.0
    token: str = field(default="", repr=False)
    private_redirects: bool = False


class HttpRanges:
    """Fetches ranges; keeps a connection to each server for each thread. Any thread may use it.

    Attributes:
        received: bytes of bodies that were received, by all threads.
    """

    def __init__(self, options: HttpOptions | None = None) -> None:
        self._options = options or HttpOptions()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: list[http.client.HTTPConnection] = []
        self._tls = ssl.create_default_context()
        self.received = 0

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def fetch_into(self, url: str, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset` of what is at a URL.

        Raises:
            FetchError: the server doesn't give exactly these bytes.
        """
        try:
            self._fetch(url, offset, buffer)
        except (http.client.HTTPException, ssl.SSLError) as error:
            raise FetchError(f"no proper answer ({type(error).__name__})") from None
        except ValueError as error:
            raise FetchError(str(error)) from None
        except TimeoutError:
            raise FetchError(f"no answer for {self._options.seconds:g} s") from None
        except OSError as error:
            raise FetchError(f"the connection failed ({error.strerror or type(error).__name__})") from None

    def _fetch(self, url: str, offset: int, buffer: memoryview) -> None:
        here, named = url, True
        first_is_private: bool | None = None
        for _ in range(_MOST_REDIRECTS + 1):
            connection, is_private = self._connected(here)
            if first_is_private is None:
                first_is_private = is_private
            elif is_private and not first_is_private and not self._options.private_redirects:
                self._drop(here)
                raise FetchError(f"it redirects to a private address ({urlsplit(here).hostname})")
            try:
                target = self._ask(connection, here, offset, buffer, named)
            except BaseException:
                self._drop(here)
                raise
            if target is None:
                return
            named = named and urlsplit(target)[:2] == urlsplit(url)[:2]
            here = target
        raise FetchError(f"more than {_MOST_REDIRECTS} redirects")

    def _ask(
        self, connection: http.client.HTTPConnection, url: str, offset: int, buffer: memoryview, named: bool
    ) -> str | None:
        """Ask for a range; where to ask instead, if the answer says so."""
        parts = urlsplit(url)
        headers = {
            "Range": f"bytes={offset}-{offset + len(buffer) - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": "ptolemy",
        }
        if named and self._options.token:
            headers["Authorization"] = f"Bearer {self._options.token}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = proxy_for(url) if parts.scheme == "http" else None
        if proxy is not None:
            path = f"http://{parts.netloc.rpartition('@')[2]}{path}"
            headers |= proxy.headers
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status in _REDIRECTS:
            place = answer.headers.get("Location")
            self._drop(url)
            if not place:
                raise FetchError("it redirects nowhere")
            return _checked(urljoin(url, place))
        _require_range(answer, offset, len(buffer))
        self._receive(answer, buffer)
        if answer.isclosed():
            return None
        self._drop(url)  # more is coming than was asked for
        return None

    def _receive(self, answer: http.client.HTTPResponse, buffer: memoryview) -> None:
        until = time.monotonic() + self._options.seconds + len(buffer) / _SLOWEST
        done = 0
        while done < len(buffer):
            got = answer.readinto(buffer[done : done + _PART])
            if not got:
                raise FetchError(f"the answer ends after {done} of {len(buffer)} bytes")
            done += got
            with self._lock:
                self.received += got
            if time.monotonic() > until:
                raise FetchError("the answer comes too slowly")

    def _connected(self, url: str) -> tuple[http.client.HTTPConnection, bool]:
        """A connection to a URL's server, and whether its address is private."""
        kept: dict[str, tuple[http.client.HTTPConnection, bool]] = self._local.__dict__.setdefault("kept", {})
        parts = urlsplit(url)
        key = f"{parts.scheme}://{parts.netloc}"
        if key in kept and kept[key][0].sock is not None:
            return kept[key]
        proxy = proxy_for(url)
        connection = self._opened(parts, proxy)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = connection.sock.getpeername()[0] if proxy is None else parts.hostname or ""
        kept[key] = connection, _is_private(address)
        with self._lock:
            self._all.append(connection)
        return kept[key]

    def _opened(self, parts: SplitResult, proxy: Proxy | None) -> http.client.HTTPConnection:
        host, port, seconds = parts.hostname or "", parts.port, self._options.seconds
        at = (host, port) if proxy is None else (proxy.host, proxy.port)
        connection: http.client.HTTPConnection
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(*at, timeout=seconds)
        else:
            connection = http.client.HTTPSConnection(*at, timeout=seconds, context=self._tls)
            if proxy is not None:
                connection.set_tunnel(host, port or 443, proxy.headers)
        try:
            connection.connect()
        except OSError as error:
            if proxy is None or isinstance(error, TimeoutError | ssl.SSLError):
                raise
            why = error.strerror or str(error) or type(error).__name__
            raise FetchError(f"the proxy {proxy.host}:{proxy.port} gives no connection ({why})") from None
        return connection

    def _drop(self, url: str) -> None:
        kept: dict[str, tuple[http.client.HTTPConnection, bool]] = self._local.__dict__.get("kept", {})
        parts = urlsplit(url)
        found = kept.pop(f"{parts.scheme}://{parts.netloc}", None)
        if found is not None:
            found[0].close()
            with self._lock:
                self._all.remove(found[0])


def check_template(template: str) -> None:
    """See that a template of URLs can be used.

    Raises:
        ValueError: it can't: the message says why.
    """
    parts = urlsplit(template)
    if parts.scheme not in ("http", "https") or not parts.hostname or "{" in parts.netloc:
        raise ValueError("it must begin with http:// or https:// and a host")
    if not any("{" + name + "}" in template for name in PLACEHOLDERS):
        raise ValueError(
            "it must have {piece} where the piece CID belongs, as https://example.org/piece/{piece}"
        )
    if parts.username or parts.password:
        raise ValueError("it must not hold a password: use a token")
    _ = parts.port


def filled(template: str, names: Mapping[str, str]) -> str:
    """The URL of a template with its names replaced; other braces stay."""
    for name, value in names.items():
        template = template.replace("{" + name + "}", value)
    return template


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return url
    except ValueError:
        pass
    raise FetchError("it redirects to what is no HTTP address")


def _require_range(answer: http.client.HTTPResponse, offset: int, length: int) -> None:
    if answer.status == 200:
        raise FetchError("it gives no ranges, only the whole piece")
    if answer.status != 206:
        raise FetchError(f"it answers {answer.status} {answer.reason[:60]}")
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise FetchError(f"it encodes the piece ({encoding[:20]})")
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found is None or (int(found[1]), int(found[2])) != (offset, offset + length - 1):
        raise FetchError("it gives another range than was asked for")
    if answer.length is not None and answer.length != length:
        raise FetchError(f"it announces {answer.length} bytes of a range of {length}")


def _is_private(address: str) -> bool:
    """Whether an address is private; a name, which a proxy looks up, counts as public unless it is this machine's."""
    try:
        return not ipaddress.ip_address(address.partition("%")[0]).is_global
    except ValueError:
        return is_loopback(address)
