"""The guard in front of Dagster's web UI: other sites, other names, links that launch, WebSockets, signing in."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket

from ptolemy_dagster.http.settings import ApiSettings
from ptolemy_dagster.http.web_ui import COOKIE, SIGN_IN, Access, UiGuard
from tests.http_api.client import told

TOKEN = "0123456789abcdef0123456789abcdef"
ORIGIN = "http://127.0.0.1:3000"
SOCKET = "ws://127.0.0.1:3000/graphql"
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"dagster answers {request.method} {request.url.path}")


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="graphql-ws")
    await websocket.send_text("dagster answers")
    await websocket.close()


def guarded(settings: ApiSettings) -> TestClient:
    methods = ["GET", "POST", "PUT", "DELETE", "HEAD"]
    app = Starlette(
        routes=[
            WebSocketRoute("/graphql", _echo),
            WebSocketRoute("/dagster/graphql", _echo),
            Route("/{path:path}", _answer, methods=methods),
        ]
    )
    access = Access.from_json(Access.of(settings).to_json())
    return TestClient(UiGuard(app, access), ORIGIN, client=("127.0.0.1", 50000), follow_redirects=False)


@pytest.fixture
def ui() -> Iterator[TestClient]:
    """A web UI without a token."""
    with guarded(ApiSettings()) as client:
        yield client


@pytest.fixture
def secret() -> Iterator[TestClient]:
    """A web UI with one."""
    with guarded(ApiSettings(token=TOKEN)) as client:
        yield client


def query(client: TestClient, **headers: str) -> Any:
    return client.post("/graphql", json={"query": "{ version }"}, headers=headers)


def test_what_the_web_ui_itself_asks_is_answered(ui: TestClient) -> None:
    assert query(ui, origin=ORIGIN, **{"sec-fetch-site": "same-origin"}).status_code == 200
    assert query(ui).status_code == 200  # a program
    assert ui.get("/runs/1").text == "dagster answers GET /runs/1"
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ui.get("/runs/1", headers=link).status_code == 200
    with ui.websocket_connect(SOCKET, headers={"origin": ORIGIN}) as websocket:
        assert websocket.receive_text() == "dagster answers"


OTHERS = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": "http://127.0.0.1:3000.evil.example"},
    {"origin": "http://127.0.0.1:3000@evil.example"},
    {"origin": "http://["},
    {"origin": ""},
    {"host": "evil.example:3000", "origin": "http://evil.example:3000"},
    {"host": "127.0.0.1:3000@evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "[::1]evil.example"},
    {"host": "[::1"},
    {"host": ""},
    {"host": "evil.example", "x-forwarded-host": "127.0.0.1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "nonsense"},
]


@pytest.mark.parametrize("headers", OTHERS)
def test_other_sites_and_names_get_nothing_by_post_get_or_websocket(
    ui: TestClient, headers: dict[str, str]
) -> None:
    for answer in (
        query(ui, **headers),
        ui.get("/runs", headers=headers),
        ui.get("/main.js", headers=headers),
    ):
        assert told(answer, 403)["type"].endswith((":other-host", ":other-origin"))
    with pytest.raises(WebSocketDenialResponse) as refused, ui.websocket_connect(SOCKET, headers=headers):
        pass
    assert refused.value.status_code == 403


@pytest.mark.parametrize("name", ["host", "origin", "authorization", "sec-fetch-site"])
def test_a_header_that_is_there_twice_is_refused(ui: TestClient, name: str) -> None:
    answer = ui.get("/runs", headers=[(name, "127.0.0.1:3000"), (name, "127.0.0.1:3000")])
    assert f"the header {name} is there more than once" in told(answer, 400)["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/graphql?query=mutation{reloadWorkspace{__typename}}",
        "/graphql?query={version}",
        "/graphql/?query={version}",
        "/graphql",
        "/%67raphql?query={version}",
    ],
)
def test_graphql_is_not_answered_to_a_link(ui: TestClient, address: str) -> None:
    assert told(ui.get(address), 405)["detail"].startswith("GraphQL is answered to POST alone")
    assert ui.head(address).status_code == 405
    page = ui.get("/graphql", headers={"accept": "text/html"})  # Dagster's page for trying queries
    assert page.status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
    ],
)
def test_graphql_of_another_content_type_is_refused(ui: TestClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = ui.post("/graphql?query={version}", content=b'{"query":"{version}"}', headers=headers)
    assert "application/json" in told(answer, 415)["detail"]
    good = {"content-type": "Application/JSON; charset=utf-8"}
    assert ui.post("/graphql", content=b"{}", headers=good).status_code == 200


@pytest.mark.parametrize(
    "path", ["/logs/..%2f..%2fetc/passwd.out", "/static/%2e%2e/%2e%2e/x", "/notebook?path=/x.ipynb"]
)
def test_paths_that_lead_out_and_notebooks_are_refused(ui: TestClient, path: str) -> None:
    assert ui.get(path).status_code in (400, 404)
    assert "dagster" not in ui.get(path).text


def test_answers_cannot_be_framed_or_read_by_other_sites(ui: TestClient) -> None:
    for answer in (ui.get("/runs"), query(ui, origin="null")):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_without_the_token_nothing_is_answered(secret: TestClient) -> None:
    for path in ("/", "/runs", "/main.js", "/server_info", "/graphql", "/download_debug/1", "/logs/a.out"):
        assert "dagster" not in secret.get(path).text
        assert "dagster" not in secret.get(path, headers={"accept": "text/html"}).text
    for bad in ({}, {"authorization": f"Bearer {TOKEN}0"}, {"authorization": f"Basic {TOKEN}"}):
        assert told(query(secret, **bad), 401)["type"].endswith(":token")
    with pytest.raises(WebSocketDenialResponse) as refused, secret.websocket_connect(SOCKET):
        pass
    assert refused.value.status_code == 401


def test_programs_send_the_token_as_to_the_api(secret: TestClient) -> None:
    assert query(secret, **BEARER).status_code == 200
    with secret.websocket_connect(SOCKET, headers=BEARER) as websocket:
        assert websocket.receive_text() == "dagster answers"


def test_a_person_signs_in_and_gets_where_they_wanted(secret: TestClient) -> None:
    page = secret.get("/runs/1?a=b&c=%22%3E", headers={"accept": "text/html,*/*"})
    assert page.status_code == 401
    (following,) = re.findall('name="next" value="([^"]*)"', page.text)
    assert following == "/runs/1?a=b&amp;c=%22%3E"
    wrong = secret.post(SIGN_IN, data={"token": "wrong", "next": "/runs"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    right = secret.post(
        SIGN_IN, data={"token": f" {TOKEN} ", "next": "/runs/1?a=b"}, headers={"origin": ORIGIN}
    )
    assert (right.status_code, right.headers["location"]) == (303, "/runs/1?a=b")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert secret.get("/runs").text == "dagster answers GET /runs"  # the client keeps the cookie
    assert query(secret).status_code == 200
    with secret.websocket_connect(SOCKET) as websocket:
        assert websocket.receive_text() == "dagster answers"
    # the cookie opens nothing to another site
    assert query(secret, origin="http://evil.example").status_code == 403
    assert secret.get(SIGN_IN).headers["location"] == "/"


@pytest.mark.parametrize(
    "following", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb: c"]
)
def test_signing_in_leads_to_this_server_alone(secret: TestClient, following: str) -> None:
    answer = secret.post(SIGN_IN, data={"token": TOKEN, "next": following})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "9999999999",
        "9999999999.",
        "9999999999.00",
        "x.y",
        "9" * 400 + ".0",
        '"',
        "1.0; " + COOKIE + "=2",
        "\x80",
    ],
)
def test_a_cookie_that_was_made_up_opens_nothing(secret: TestClient, value: str) -> None:
    headers = {"cookie": f"{COOKIE}={value}".encode("latin-1")}
    assert secret.get("/runs", headers=headers).status_code == 401


def test_a_session_ends(secret: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.post(SIGN_IN, data={"token": TOKEN})
    assert secret.get("/runs").status_code == 200
    monkeypatch.setattr("ptolemy_dagster.http.web_ui.time.time", lambda: 1e11)
    assert secret.get("/runs").status_code == 401


def test_the_session_of_another_token_opens_nothing(secret: TestClient) -> None:
    with guarded(ApiSettings(token=TOKEN[::-1])) as other:
        other.post(SIGN_IN, data={"token": TOKEN[::-1]})
        value = other.cookies[COOKIE]
    assert secret.get("/runs", headers={"cookie": f"{COOKIE}={value}"}).status_code == 401


def test_a_form_that_is_none_signs_nobody_in(secret: TestClient) -> None:
    for content in (b"", b"\xff\x00", b"&".join(b"token=x" for _ in range(50)), b"token=%ff%00"):
        assert secret.post(SIGN_IN, content=content).status_code == 401


def test_a_large_form_is_refused_before_it_is_read(secret: TestClient) -> None:
    assert secret.post(SIGN_IN, content=b"token=" + b"x" * 100_000).status_code == 413


def test_below_a_prefix_it_is_the_same() -> None:
    settings = ApiSettings(
        token=TOKEN, ui_url="https://ptolemy.example/dagster", hosts=frozenset({"api.example"})
    )
    access = Access.of(settings)
    assert access.prefix == "/dagster"
    assert {"ptolemy.example", "api.example", "127.0.0.1"} <= set(access.hosts)
    with guarded(settings) as client:
        there = {"host": "ptolemy.example", "origin": "https://ptolemy.example", **BEARER}
        assert told(client.get("/dagster/graphql?query=x", headers=BEARER), 405)
        assert client.post("/dagster/graphql", json={}, headers=there).status_code == 200
        page = client.get("/dagster/runs", headers={"accept": "text/html"})
        assert f'action="/dagster{SIGN_IN}"' in page.text
        answer = client.post(f"/dagster{SIGN_IN}", data={"token": TOKEN, "next": ""})
        assert answer.headers["location"] == "/dagster/"
        assert "Path=/dagster/" in answer.headers["set-cookie"]


def test_the_webserver_is_not_told_the_token() -> None:
    assert TOKEN.encode() not in Access.of(ApiSettings(token=TOKEN)).to_json()
