"""A small stand-in for Google's and Azure's stores: it lists, gives objects, and checks signatures as specified."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.remote.servers import AZURE_ACCOUNT, AZURE_KEY

_GMT = "Fri, 02 Jan 2026 03:04:05 GMT"
_ISO = "2026-01-02T03:04:05.000Z"
_SIGNED = ["content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"]
_SIGNED += ["if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]


@dataclass
class CloudServer:
    """A server with one bucket or container, `data`.

    Attributes:
        files: its objects, by key.
        refused: requests whose signature wasn't right.
        lists: queries of the listings that were asked for.
    """

    azure: bool
    files: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    lists: list[dict[str, str]] = field(default_factory=list)
    endpoint: str = ""
    private: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def environment(self) -> dict[str, str]:
        if self.azure:
            return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": self.endpoint}
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = {
            "type": "service_account",
            "client_email": "reader@museum",
            "private_key": pem.decode(),
            "private_key_id": "1",
            "gcs_base_url": self.endpoint,
        }
        return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key)}

    def is_signed(self, method: str, url: str, headers: Any) -> bool:
        return self._azure_signed(method, url, headers) if self.azure else self._google_signed(headers)

    def _azure_signed(self, method: str, url: str, headers: Any) -> bool:
        fields = [headers.get(name, "") for name in _SIGNED]
        fields[2] = "" if fields[2] == "0" else fields[2]
        own = sorted(name.lower() for name in headers if name.lower().startswith("x-ms-"))
        parts = urlsplit(url)
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        lines = [method, *fields, *(f"{name}:{headers[name]}" for name in own)]
        lines += [f"/{AZURE_ACCOUNT}{parts.path}", *(f"{name}:{value}" for name, value in query)]
        digest = hmac.new(base64.b64decode(AZURE_KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
        expected = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
        return bool(headers.get("authorization") == expected)

    def _google_signed(self, headers: Any) -> bool:
        text, _, signature = headers.get("authorization", "").removeprefix("Bearer ").rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        try:
            self.private.public_key().verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except Exception:
            return False
        return bool(text)

    def listing(self, query: dict[str, str]) -> str:
        """Two keys a page at most; without folders: the tests' prefixes have no need of them."""
        self.lists.append(query)
        after = query.get("marker") or query.get("continuation-token") or query.get("start-after") or ""
        keys = [key for key in sorted(self.files) if key.startswith(query.get("prefix", "")) and key > after]
        shown, rest = keys[:2], keys[2:]
        following = shown[-1] if rest else ""
        if self.azure:
            blobs = "".join(
                f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_GMT}</Last-Modified>"
                f"<Etag>{self.etag(key)}</Etag><Content-Length>{len(self.files[key])}</Content-Length>"
                "<Content-Type>x/y</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
                for key in shown
            )
            return (
                '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>'
                f"{blobs}</Blobs><NextMarker>{escape(following)}</NextMarker></EnumerationResults>"
            )
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_ISO}</LastModified><ETag>{self.etag(key)}</ETag>"
            f"<Size>{len(self.files[key])}</Size></Contents>"
            for key in shown
        )
        token = f"<NextContinuationToken>{escape(following)}</NextContinuationToken>" if rest else ""
        state = f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{token}"
        return f"<ListBucketResult>{state}{contents}</ListBucketResult>"

    def etag(self, key: str) -> str:
        return f'"{hashlib.md5(self.files[key]).hexdigest()}"'


@contextmanager
def running(azure: bool) -> Iterator[CloudServer]:
    cloud = CloudServer(azure)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, cloud)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    cloud.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def answer(to: BaseHTTPRequestHandler, cloud: CloudServer) -> None:
    status, body, headers = 200, b"", {"Last-Modified": _GMT}
    parts = urlsplit(to.path)
    key = unquote(parts.path).removeprefix(f"/{AZURE_ACCOUNT}" if cloud.azure else "").removeprefix("/data")
    if not cloud.is_signed(to.command, to.path, to.headers):
        cloud.refused.append(f"{to.command} {to.path}")
        status = 403
    elif key in ("", "/"):
        body = cloud.listing(dict(parse_qsl(parts.query))).encode()
    elif key[1:] not in cloud.files:
        status = 404
    else:
        body = cloud.files[key[1:]]
        headers["ETag"] = cloud.etag(key[1:])
        if "range" in to.headers:
            start, end = to.headers["range"].removeprefix("bytes=").split("-")
            headers["Content-Range"] = f"bytes {start}-{min(int(end), len(body) - 1)}/{len(body)}"
            status, body = 206, body[int(start) : int(end) + 1]
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name, value)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    if to.command == "GET":
        to.wfile.write(body)
