"""What pages of other sites can do to `ptolemy serve` in a real browser: nothing. And that its own pages work."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest

from tests.http_api.live import Served, served
from tests.pipeline.backend import Backend
from tests.pipeline.processes import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"

ADD = """mutation { addDynamicPartition(partitionsDefName: "projects", partitionKey: "%s", repositorySelector:
{repositoryLocationName: "ptolemy", repositoryName: "__repository__"}) { __typename } }"""

SAME_ORIGIN = """async ([query]) => {
  const answer = await fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'},
                                          body: JSON.stringify({query})});
  return [answer.status, await answer.text()];
}"""

ATTACK = """async ([ui, api, query]) => {
  const body = JSON.stringify({query});
  const link = ui + '/graphql?query=' + encodeURIComponent(query);
  const told = [];
  const attempt = async (name, promise) => {
    try {
      const answer = await promise;
      told.push([name, answer.type, answer.type == 'opaque' ? '' : await answer.text()]);
    } catch (error) {
      told.push([name, 'error', '']);
    }
  };
  const post = {method: 'POST', mode: 'no-cors', credentials: 'include', body};
  const typed = kind => ({headers: {'content-type': kind}});
  await attempt('post', fetch(ui + '/graphql', post));
  await attempt('sneaky', fetch(ui + '/graphql', {...post, ...typed('text/plain; application/json')}));
  await attempt('json', fetch(ui + '/graphql', {method: 'POST', body, ...typed('application/json')}));
  await attempt('get', fetch(link, {mode: 'no-cors', credentials: 'include'}));
  await attempt('read', fetch(ui + '/server_info'));
  await attempt('report', fetch(ui + '/report_asset_materialization/scan_result?partition=evil', post));
  await attempt('api', fetch(api + '/v0/scan/delta', post));
  await attempt('api read', fetch(api + '/v0/projects'));
  const image = new Image();
  await new Promise(done => { image.onload = image.onerror = done; image.src = link; });
  const socket = await new Promise(done => {
    const made = new WebSocket(ui.replace('http', 'ws') + '/graphql', 'graphql-ws');
    made.onopen = () => done('open');
    made.onerror = () => done('refused');
  });
  told.push(['websocket', socket, '']);
  const framed = document.createElement('iframe');
  framed.name = 'framed';
  await new Promise(done => { framed.onload = done; framed.src = ui + '/runs'; document.body.append(framed); });
  const form = document.createElement('form');
  form.method = 'post';
  form.enctype = 'text/plain';
  form.target = 'framed';
  form.action = ui + '/graphql';
  form.innerHTML = '<input name=a>';
  form.firstChild.name = body.slice(0, -1) + ', "x": "';
  form.firstChild.value = '"}';
  document.body.append(form);
  await new Promise(done => { framed.onload = done; form.submit(); setTimeout(done, 3000); });
  return told;
}"""


class Blank(BaseHTTPRequestHandler):
    """An empty page, whatever is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>other</title><body>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def other_site() -> Iterator[str]:
    """A site on a port of its own."""
    server = HTTPServer(("127.0.0.1", 0), Blank)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def serving(backend: Backend, **env: str) -> Iterator[Served]:
    """`ptolemy serve`, whose web UI listens already."""

    def listens(address: str) -> bool:
        parts = urlsplit(address)
        with suppress(OSError), socket.create_connection((parts.hostname or "", parts.port or 0)):
            return True
        return False

    with served(backend, **env) as server:
        wait_until(lambda: listens(server.ui_url))
        yield server


def partitions(backend: Backend) -> list[str]:
    with backend.instance() as instance:
        return list(instance.get_dynamic_partitions("projects"))


def attacked(page: Any, site: str, server: Served, backend: Backend) -> None:
    """Nothing that a page of another site tries is done or shown."""
    page.goto(site)
    told = page.evaluate(ATTACK, [server.ui_url, server.url, ADD % "evil"])
    assert len(told) == 9
    for name, kind, text in told:
        assert kind in ("error", "opaque", "refused"), (name, kind, text)
        assert text == ""
    page.goto(f"{server.ui_url}/graphql?query={ADD % 'evil'}")  # a link that was followed
    assert "evil" not in partitions(backend)
    with backend.instance() as instance:
        assert list(instance.get_runs()) == []
        assert "evil" not in instance.get_materialized_partitions(dg.AssetKey("scan_result"))


@pytest.mark.slow
def test_pages_of_other_sites_can_do_nothing_and_those_of_the_server_work(sqlite: Backend, page: Any) -> None:
    sqlite.define()
    with serving(sqlite) as server, other_site() as site:
        sockets: list[str] = []
        frames: list[str] = []

        def opened(websocket: Any) -> None:
            sockets.append(websocket.url)
            websocket.on("framereceived", lambda frame: frames.append(str(frame)))

        page.on("websocket", opened)
        page.goto(f"{server.ui_url}/assets/scan_result")
        page.get_by_text("scan_result").first.wait_for()
        wait_until(lambda: page.wait_for_timeout(200) or frames)  # a subscription's answers come by WebSocket
        assert sockets[0] == server.ui_url.replace("http", "ws") + "/graphql"
        status, _ = page.evaluate(SAME_ORIGIN, [ADD % "mine"])
        assert status == 200
        assert "mine" in partitions(sqlite)
        attacked(page, site, server, sqlite)
        # a name of another site that leads to this machine, as after DNS rebinding
        port = urlsplit(server.ui_url).port
        answer = page.goto(f"http://rebound.localhost:{port}/")
        assert answer.status == 403
        assert page.evaluate(SAME_ORIGIN, [ADD % "evil"])[0] == 403
        assert "evil" not in partitions(sqlite)


@pytest.mark.slow
def test_a_person_signs_in_where_the_server_has_a_token(sqlite: Backend, page: Any) -> None:
    sqlite.define()
    with serving(sqlite, PTOLEMY_API_TOKEN=TOKEN) as server, other_site() as site:
        page.goto(f"{server.ui_url}/assets/scan_result?view=partitions")
        page.get_by_label("token").fill("not the token")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("That isn't this server's token").wait_for()
        page.get_by_label("token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("scan_result").first.wait_for()
        assert page.url.startswith(f"{server.ui_url}/assets/scan_result")
        assert page.evaluate("document.cookie") == ""
        attacked(page, site, server, sqlite)  # also by who is signed in
        page.context.clear_cookies()
        page.goto(f"{server.ui_url}/runs")
        page.get_by_role("button", name="Sign in").wait_for()
