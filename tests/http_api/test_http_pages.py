"""Our own pages: all projects, and each project, without a script or anything from elsewhere."""

import re
from html.parser import HTMLParser

import pytest

from ptolemy_core.catalog import containers, stored_cars
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from ptolemy_dagster.http.pages import plots
from ptolemy_dagster.http.pages.markup import Html, tag
from ptolemy_dagster.http.settings import ApiSettings
from ptolemy_dagster.http.web_ui import SIGN_IN
from tests.http_api.client import ORIGIN, Api, in_process
from tests.pipeline.backend import Backend
from tests.pipeline.backend import in_process as run

TOKEN = "0123456789abcdef0123456789abcdef"


def shown(api: Api, path: str, status: int = 200) -> str:
    """The HTML of a page; it must hold no script and load nothing."""
    answer = api.http.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    text = answer.text
    assert "<script" not in text
    assert not re.search(r"""(src|url\()=?["']?https?:""", text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    Checked().feed(text)
    return text


class Checked(HTMLParser):
    """Sees that elements are closed in their order, and that what needs a name has one."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if name in ("progress", "nav", "section") or given.get("role") == "img":
            assert given.get("aria-label"), (name, given)
        if name == "html":
            assert given["lang"] == "en"
        if name not in ("meta", "input", "br", "link"):
            self._open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name

    def close(self) -> None:
        assert not self._open


def built(api: Api, files: dict[str, bytes] | None = None) -> None:
    """Project delta, with its CARs, root and manifest."""
    api.backend.define(target=api.backend.folder(files=files))
    with api.backend.instance() as instance:
        assert run("onboard", "delta", instance).success


def test_without_a_project_the_page_says_how_to_define_one(api: Api) -> None:
    assert "ptolemy create NAME" in shown(api, "/")


def test_the_list_shows_each_project_and_leads_to_its_page(api: Api) -> None:
    built(api)
    api.backend.define("other", target=api.backend.folder("more", {"x": b"x"}))
    text = shown(api, "/")
    assert 'href="/projects/delta"' in text
    assert "blitz complete" in text
    assert "1 of 1" in text
    assert "defined" in text
    assert shown(api, "/projects") == text


def test_a_project_shows_its_cars_plots_settings_and_runs(api: Api) -> None:
    built(api)
    (car,) = api.get("/v0/carfile_meta/delta")
    text = shown(api, "/projects/delta")
    for cid in (car["payload_cid"], car["piece_cid"]):
        assert f'<code class="cid">{cid}</code>' in text
    assert text.count("<svg") >= 2
    assert "on average" in text
    (plan,) = containers.rows(api.backend.catalog, "delta")
    data, used = plan.data_bytes / plan.piece_size, plan.car_size / plan.piece_size
    assert (
        f"1 piece: data {data:.1%}, structure of the CARs {used - data:.1%}, padding {1 - used:.1%}" in text
    )
    assert str(api.backend.staging()) in text
    assert "http://127.0.0.1:3000/runs/" in text
    assert "http://127.0.0.1:3000/assets/built_cars?view=partitions&amp;partition=delta" in text
    assert "onboard" in text


def test_files_of_a_project_can_be_downloaded(api: Api) -> None:
    built(api)
    (car,) = api.get("/v0/carfile_meta/delta")
    text = shown(api, "/projects/delta")
    for address in re.findall(r'href="(/projects/delta/[^"#]+)"', text):
        assert api.http.get(address).status_code == 200, address
    answer = api.http.get("/projects/delta/cars/0", headers={"range": "bytes=0-9"})
    whole = (api.backend.staging() / car["file_name"]).read_bytes()
    assert (answer.status_code, answer.content) == (206, whole[:10])
    assert api.http.get("/projects/delta/summary").json()["project"] == "delta"
    (api.backend.staging() / car["file_name"]).unlink()
    assert api.http.get("/projects/delta/cars/0").status_code == 404
    assert "missing" in shown(api, "/projects/delta")


def test_a_generated_car_can_be_downloaded_and_a_dead_one_is_shown(api: Api) -> None:
    data = api.backend.folder()
    api.backend.define(target=data, car_storage="generated")
    scan(api.backend.catalog, "delta")
    containerize(api.backend.catalog, "delta")
    build_container(api.backend.catalog, "delta", 0)
    text = shown(api, "/projects/delta")
    assert "generated" in text
    assert "/projects/delta/cars/0" in text
    answer = api.http.get("/projects/delta/cars/0")
    with stored_cars.by_number(api.backend.catalog, "delta", 0).open() as car:
        assert (answer.status_code, answer.content) == (200, car.read(0, car.size))
    (data / "a.txt").write_bytes(b"another")
    scan(api.backend.catalog, "delta")
    assert "dead: " in shown(api, "/projects/delta")
    answer = api.http.get("/projects/delta/cars/0")
    assert answer.status_code == 409
    assert "car-dead" in answer.text


@pytest.mark.parametrize("number", ["1", "x", "-1", "..%2f..%2fetc%2fpasswd", "99999999999999999999"])
def test_what_is_no_car_is_404(api: Api, number: str) -> None:
    built(api)
    assert api.http.get(f"/projects/delta/cars/{number}").status_code in (404, 400)


def test_a_link_in_the_place_of_a_car_is_not_followed(api: Api) -> None:
    built(api)
    (car,) = api.get("/v0/carfile_meta/delta")
    secret = api.backend.root / "secret"
    secret.write_text("secret")
    path = api.backend.staging() / car["file_name"]
    path.unlink()
    path.symlink_to(secret)
    assert api.http.get("/projects/delta/cars/0").status_code == 404


def test_names_of_files_are_no_markup(api: Api) -> None:
    folder = api.backend.folder(files={"a": b"a"})
    name = "<img src=x onerror=alert(1)>'\""
    import os

    os.mkfifo(folder / name)
    api.backend.define(target=folder)
    with api.backend.instance() as instance:
        run("scan", "delta", instance)
    text = shown(api, "/projects/delta")
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert 'href="/projects/delta#skipped"' in shown(api, "/")


def test_why_a_run_failed_is_on_both_pages(api: Api) -> None:
    api.backend.define()
    with api.backend.instance() as instance:
        run("scan", "delta", instance)
        run("containerize", "delta", instance)
        (api.backend.root / "data" / "a.txt").write_bytes(b"changed")
        with pytest.raises(Exception, match="changed since"):
            run("blitz", "delta", instance)
    for path in ("/", "/projects/delta"):
        text = shown(api, path)
        assert "blitz failed" in text
        assert "a.txt changed since the scan" in text


def test_many_cars_come_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptolemy_dagster.http.pages import routes
    from tests.pipeline.backend import plan_small, tiny_files

    monkeypatch.setattr(routes, "_CARS", 2)
    api.backend.define(target=api.backend.folder(files=tiny_files(3)))
    plan_small(api.backend.catalog, "delta", 3100)
    with api.backend.instance() as instance:
        run("blitz", "delta", instance)
    text = shown(api, "/projects/delta")
    assert ">000001<" in text
    assert ">000002</th>" not in text
    (following,) = re.findall(r'href="([^"]+)">More CARs', text)
    assert ">000002</th>" in shown(api, following.partition("#")[0])


def test_a_browser_gets_a_page_of_what_is_refused_and_a_program_json(api: Api) -> None:
    text = shown(api, "/projects/nemo", status=404)
    assert "<h1>Not found</h1>" in text
    assert "no project &#x27;nemo&#x27;: create it first" in text
    assert 'href="/">All projects</a>' in text
    assert "Refresh" not in text
    assert "Not found" in shown(api, "/projects/nemo/cars/0", status=404)
    assert "refresh must be at most 3600, got &#x27;9999&#x27;" in shown(api, "/?refresh=9999", status=422)
    nowhere = api.http.get("/nowhere", headers={"accept": "text/html,*/*"})
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no such address" in nowhere.text
    for accept in ("*/*", "application/json"):
        for path in ("/projects/nemo", "/nowhere"):
            answer = api.http.get(path, headers={"accept": accept})
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.status_code == answer.json()["status"] == 404
    answer = api.http.get("/v0/projects/nemo", headers={"accept": "text/html"})
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_project_and_a_wrong_value_are_refused(api: Api) -> None:
    assert api.http.get("/projects/nemo").status_code == 404
    assert api.http.get("/?refresh=-1").status_code == 422
    assert api.http.post("/").status_code == 405
    assert api.http.get("/projects/delta", headers={"host": "evil.example"}).status_code == 403


def test_a_page_refreshes_itself_only_where_that_is_asked_for(api: Api) -> None:
    assert "http-equiv" not in shown(api, "/")
    assert '<meta http-equiv="refresh" content="10">' in shown(api, "/?refresh=10")


def test_with_a_token_a_person_signs_in_and_a_program_sends_it(sqlite: Backend) -> None:
    sqlite.define()
    with in_process(sqlite, ApiSettings(token=TOKEN, rate=0)) as api:
        asked = api.http.get("/projects/delta", headers={"accept": "text/html"})
        assert asked.status_code == 401
        assert 'type="password"' in asked.text
        assert "same-origin" in asked.headers.get_list("referrer-policy")
        assert "no-referrer" not in asked.headers.get_list("referrer-policy")
        assert api.http.get("/projects/delta").status_code == 401
        assert api.http.get("/projects/delta/manifest").status_code == 401
        assert (
            api.http.get("/projects/delta", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        )
        wrong = api.http.post(SIGN_IN, data={"token": "no"}, headers={"origin": ORIGIN})
        assert wrong.status_code == 401
        done = api.http.post(
            SIGN_IN,
            data={"token": TOKEN, "next": "/projects/delta"},
            headers={"origin": ORIGIN},
            follow_redirects=False,
        )
        assert (done.status_code, done.headers["location"]) == (303, "/projects/delta")
        assert "delta" in shown(api, "/")
        assert api.http.get("/v0/projects").status_code == 401  # a cookie doesn't speak for the API


def test_what_is_text_is_escaped_and_what_is_markup_is_not() -> None:
    assert tag("p", "<b>", Html("<b>x</b>"), title='"') == '<p title="&quot;">&lt;b&gt;<b>x</b></p>'
    with pytest.raises(TypeError):
        tag("p", object())


def test_an_axis_ends_at_a_round_number() -> None:
    assert [plots._round_up(value) for value in (1.0, 3.0, 900.0)] == [1.0, 5.0, 1000.0]
    assert plots._round_up(300 * 1024**2) == 500 * 1024**2
