"""A list of URLs on a web server."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

import pytest

from ptolemy_core.errors import SettingsError, SourceError, UnreadableError
from tests.remote.test_bucket import FILES, reasons, run, write


class Web:
    """A web server of files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags = self.ranges = True
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                data = web.files.get(unquote(self.path))
                if data is None:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                etag = hashlib.md5(data).hexdigest()
                asked = self.headers.get("Range") if web.ranges else None
                low, high = 0, len(data)
                if asked:
                    first, _, last = asked.removeprefix("bytes=").partition("-")
                    low, high = int(first), min(len(data), int(last) + 1 if last else len(data))
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {low}-{high - 1}/{len(data)}")
                if web.etags:
                    self.send_header("ETag", f'"{etag}"')
                self.send_header("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT")
                self.send_header("Content-Length", str(high - low))
                self.end_headers()
                if body:
                    self.wfile.write(data[low:high])

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "3")
    made = Web()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def publish(web: Web, files: dict[str, bytes], text: str) -> str:
    web.files = {f"/data/{key}": data for key, data in files.items()} | {"/data/list.csv": text.encode()}
    return f"{web.base}/data/list.csv"


def test_a_list_of_urls_and_a_folder_of_the_same_files_give_the_same_cars(make: Any, web: Web) -> None:
    """Some lines are whole URLs, some relative; some have a size."""
    text = "url,size\n# by hand\n\n"
    for number, (key, data) in enumerate(FILES.items()):
        text += web.base + "/data/" if number % 2 else ""
        text += quote(key) + (f",{len(data)}" if number % 3 else "") + ("\r\n" if number % 5 else "\n")
    far, local = make("far", target_dir=publish(web, FILES, text)), make("local")
    write(local.target, FILES)
    for scene in (local, far):
        run(scene)
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    assert [verdict.problems for verdict in far.verify(source=True)] == [[]] * len(far.cars())
    web.files["/data/z"] = b"LAST"
    assert far.scan().changed == 1


def test_lines_that_cant_be_held_are_left_out_with_their_reasons(make: Any, web: Web) -> None:
    text = (
        "ok\nmissing\nwrong,7\nodd,many\nhttps://elsewhere.example/x\n/other/y\nsecret?token=abcdef\n"
        "twice\ntwice\na//b\n../up\n"
    )
    url = publish(web, {"ok": b"1", "wrong": b"123", "odd": b"1", "twice": b"2"}, text)
    far = make("far", target_dir=url, on_error="skip")
    far.scan()
    found = reasons(far)
    said = {path: reason.split(",")[0] for path, reason in found.items()}
    assert said == {
        "missing": "the server doesn't give it (no such object)",
        "wrong": "it has 3 bytes",
        "odd": "the size in the list isn't a number",
        "https://elsewhere.example/x": "its URL isn't on the list's server",
        "other/y": "its URL isn't below the list's folder",
        "secret": "its URL has a query",
        "twice": "is there twice",
        "a//b": "its key has an empty name",
        "../up": "its key has the name . or ..",
    }
    assert "abcdef" not in str(found)
    with pytest.raises(UnreadableError, match="missing: the server doesn't give it"):
        make("strict", target_dir=url).scan()


def test_a_file_that_changed_since_the_scan_is_refused_by_name(make: Any, web: Web) -> None:
    far = make("far", target_dir=publish(web, {"a": b"1" * 700}, "a\n"))
    far.scan()
    far.plan()
    web.files["/data/a"] = b"2" * 700
    with pytest.raises(SourceError, match="/data/a changed since the scan, it was overwritten"):
        far.blitz()


def test_a_server_without_ranges_is_refused_by_name(make: Any, web: Web) -> None:
    far = make("far", target_dir=publish(web, {"a": b"1" * 3000}, "a\n"))
    far.scan()
    far.plan()
    web.ranges = False
    with pytest.raises(SourceError, match="/data/a can't be read"):
        far.blitz()


def test_a_list_that_isnt_there_is_refused_when_the_project_is_defined(make: Any, web: Web) -> None:
    with pytest.raises(SettingsError, match=r"can't be listed \(no such object\)"):
        make("far", target_dir=f"{web.base}/data/list.csv")
    with pytest.raises(SettingsError, match="a web server has none"):
        make("other", target_dir=f"{web.base}/data/list.csv", source_profile="x")
