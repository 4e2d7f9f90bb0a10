"""What the API refuses: other sites, other names, missing tokens, folders outside the roots, too much at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.errors import SettingsError
from ptolemy_dagster.http.limits import RateLimit
from ptolemy_dagster.http.settings import ApiSettings, parse_settings
from tests.http_api.client import Api, in_process, told
from tests.pipeline.backend import Backend

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def guarded(sqlite: Backend) -> Iterator[Api]:
    """An API with a token, and a root that holds the test's folder `allowed`."""
    (sqlite.root / "allowed").mkdir()
    settings = ApiSettings(token=TOKEN, roots=(str(sqlite.root / "allowed"),), rate=0, max_body=10_000)
    with in_process(sqlite, settings) as made:
        yield made


BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}0", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"],
)
def test_without_the_token_nothing_is_told(guarded: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("utf-8")}
    for method, path in (("GET", "/v0/projects"), ("POST", "/v0/create/delta"), ("GET", "/v0/nothing")):
        answer = guarded.http.request(method, path, headers=headers)
        assert "Authorization: Bearer TOKEN" in told(answer, 401)["detail"]
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_with_the_token_it_works_and_the_description_needs_none(guarded: Api) -> None:
    assert guarded.get("/v0/projects", **BEARER) == []
    assert guarded.get("/v0/projects", authorization=f"bearer {TOKEN}") == []
    assert guarded.get("/openapi.json")["openapi"].startswith("3.")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.1:8000"]
)
def test_a_rebound_name_is_refused(api: Api, host: str) -> None:
    assert api.get("/v0/projects", 403, host=host)["type"].endswith(":other-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "localhost."])
def test_names_of_this_machine_are_fine(api: Api, host: str) -> None:
    assert api.get("/v0/projects", host=host) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_pages_of_other_sites_cannot_make_a_browser_ask(api: Api, headers: dict[str, str]) -> None:
    answer = api.http.post("/v0/create/delta", json=api.settings(), headers=headers)
    assert told(answer, 403)["type"].endswith(":other-origin")
    assert api.get("/v0/projects") == []


def test_a_page_of_this_server_and_a_followed_link_may_ask(api: Api) -> None:
    assert api.get("/v0/projects", origin="http://127.0.0.1:8000", **{"sec-fetch-site": "same-origin"}) == []
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert api.http.get("/docs", headers=headers).status_code == 200


def test_answers_forbid_sniffing_framing_and_scripts(api: Api) -> None:
    for path in ("/docs", "/v0/projects", "/nothing"):
        headers = api.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("setting", ["target_dir", "staging_dir"])
@pytest.mark.parametrize("way", ["outside", "dots", "link", "neighbour"])
def test_folders_outside_the_roots_are_refused_wherever_links_lead(
    guarded: Api, setting: str, way: str
) -> None:
    root = guarded.backend.root
    (root / "allowed" / "data").mkdir()
    (root / "secret").mkdir()
    (root / "allowed-too").mkdir()
    (root / "allowed" / "link").symlink_to(root / "secret")
    bad = {
        "outside": root / "secret",
        "dots": root / "allowed" / ".." / "secret",
        "link": root / "allowed" / "link" / "deeper",
        "neighbour": root / "allowed-too",
    }[way]
    body = {"target_dir": str(root / "allowed" / "data"), "staging_dir": str(root / "allowed" / "cars")}
    answer = guarded.post("/v0/create/delta", 403, body | {setting: str(bad)}, **BEARER)
    assert answer["type"].endswith(":outside-roots")
    assert setting in answer["detail"]
    assert f"use a folder below {root}/allowed" in answer["detail"]
    assert list((root / "secret").iterdir()) == []
    guarded.post("/v0/create/delta", 200, body, **BEARER)


def test_a_folder_that_became_a_link_out_of_the_roots_is_not_scanned(guarded: Api) -> None:
    root = guarded.backend.root
    (root / "allowed" / "data").mkdir()
    (root / "secret").mkdir()
    body = {"target_dir": str(root / "allowed" / "data"), "staging_dir": str(root / "allowed" / "cars")}
    guarded.post("/v0/create/delta", 200, body, **BEARER)
    (root / "allowed" / "data").rmdir()
    (root / "allowed" / "data").symlink_to(root / "secret")
    assert "it leads to" in guarded.post("/v0/scan/delta", 403, **BEARER)["detail"]
    assert not guarded.dagster.instance.get_runs()


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_413(guarded: Api, announced: bool) -> None:
    content: Any = b"[" + b" " * 20_000
    answer = guarded.http.post(
        "/v0/create/delta",
        content=content if announced else iter([content[:8000], content[8000:]]),
        headers=BEARER,
    )
    assert "larger than 10000 bytes" in told(answer, 413)["detail"]


def test_more_requests_than_the_rate_are_429_until_time_passes(sqlite: Backend) -> None:
    with in_process(sqlite, ApiSettings(rate=5)) as api:
        statuses = [api.http.get("/health").status_code for _ in range(40)]
        assert statuses[:10] == [200] * 10
        assert 429 in statuses
        answer = next(a for a in iter(lambda: api.http.get("/health"), None) if a.status_code == 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert "more than 5 requests a second" in told(answer, 429)["detail"]


def test_pages_of_other_sites_use_up_none_of_the_users_requests(sqlite: Backend) -> None:
    with in_process(sqlite, ApiSettings(rate=5)) as api:
        for _ in range(60):
            assert api.http.get("/health", headers={"origin": "http://evil.example"}).status_code == 403
        assert api.http.get("/health").status_code == 200


def test_buckets_fill_with_time_and_are_one_per_address() -> None:
    now = 0.0
    limit = RateLimit(lambda *_: None, rate=10, clock=lambda: now)  # type: ignore[arg-type,return-value]
    assert [limit._take("a") for _ in range(20)] == [0] * 20
    assert limit._take("a") == pytest.approx(0.1)
    assert limit._take("b") == 0
    now = 0.5
    assert [limit._take("a") > 0 for _ in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_another_address_needs_a_token_and_roots(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PTOLEMY_ROOTS", raising=False)
    monkeypatch.delenv("PTOLEMY_API_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="there is no token: set PTOLEMY_API_TOKEN or --token-file"):
        parse_settings(host, roots=[str(tmp_path)])
    monkeypatch.setenv("PTOLEMY_API_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="no folders are set that it may use"):
        parse_settings(host)
    monkeypatch.setenv("PTOLEMY_ROOTS", f"{tmp_path}:/tmp")
    settings = parse_settings(host)
    assert settings.token == TOKEN
    assert settings.roots == (str(tmp_path.resolve()), str(Path("/tmp").resolve()))
    assert settings.hosts is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_loopback_needs_neither(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PTOLEMY_ROOTS", raising=False)
    monkeypatch.delenv("PTOLEMY_API_TOKEN", raising=False)
    settings = parse_settings(host, allowed_hosts=["Ptolemy.Example"])
    assert (settings.token, settings.roots) == (None, ())
    assert settings.hosts is not None
    assert {"localhost", "ptolemy.example", host} <= settings.hosts


@pytest.mark.parametrize("text", ["", "short", "with space in the token", "tschüß-tschüß-tschüß", "a" * 15])
def test_a_weak_token_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(SettingsError, match="16 or more printable ASCII characters"):
        parse_settings(token_file=str(tmp_path / "token"))


def test_a_token_file_may_end_with_a_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert parse_settings(token_file=str(tmp_path / "token")).token == TOKEN
    with pytest.raises(SettingsError, match="can't be read"):
        parse_settings(token_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "port must be 0 to 65535"),
        ({"rate": -1}, "rate-limit must be 0"),
        ({"roots": ["relative"]}, "must be an absolute path"),
        ({"roots": ["/nowhere/at/all"]}, "isn't a folder"),
        ({"ui_url": "ftp://x"}, "ui-url must start with http"),
    ],
)
def test_bad_settings_of_the_server_say_what_to_do(options: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(**options)


def test_an_unexpected_failure_is_a_problem_that_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("ptolemy_dagster.http.workers.list_workers", fail)
    answer = api.http.get("/v0/workers")
    assert "the server failed" in told(answer, 500)["detail"]
    assert "secret" not in answer.text


def test_errors_of_the_framework_are_problems_too(api: Api) -> None:
    assert "described at /docs" in api.problem("/nothing/here", 404)
    answer = api.http.put("/v0/projects")
    assert told(answer, 405)["detail"] == "PUT isn't allowed here, only GET, HEAD"
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_wrong_method_is_told_all_that_an_address_has(api: Api) -> None:
    answer = api.http.put("/v0/projects/delta")
    assert told(answer, 405)["detail"] == "PUT isn't allowed here, only GET, HEAD, PATCH, DELETE"
    assert answer.headers["allow"] == "GET, HEAD, PATCH, DELETE"
    assert api.http.request("DELETE", "/v0/scan/delta").headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/health", "/", "/v0/projects", "/v0/projects/delta", "/metrics", "/docs"])
def test_head_is_answered_as_get(api: Api, path: str) -> None:
    api.create()
    assert api.http.head(path).status_code == 200
    assert api.http.head(path).headers.keys() == api.http.get(path).headers.keys()
    assert api.http.head("/v0/projects/nemo").status_code == 404
    assert api.http.head("/v0/manifest/delta").status_code == 404
