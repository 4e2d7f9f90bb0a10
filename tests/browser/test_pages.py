"""Our own pages in a real browser: what is on them, that they need no script, and that a keyboard is enough."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ptolemy_core.catalog import cars
from ptolemy_core.dag import cid
from ptolemy_dagster.http.app import create_app
from ptolemy_dagster.http.connections import listen
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.dagster_api import Dagster
from ptolemy_dagster.http.settings import ApiSettings
from tests.browser.test_ui import files
from tests.pipeline.backend import Backend, in_process, plan_small

TOKEN = "0123456789abcdef0123456789abcdef"


@contextmanager
def served(backend: Backend, settings: ApiSettings) -> Iterator[str]:
    """The pages of a home, served by this process; their address."""
    listener = listen("127.0.0.1", 0)
    with backend.instance() as instance:
        app = create_app(Context(backend.catalog, Dagster(instance, "http://127.0.0.1:3000"), settings))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def project(sqlite: Backend, folders: Path) -> Backend:
    """Three projects: one with several CARs and a file in none, one that failed, one that is only defined."""
    photos = folders / "photos"
    for name, data in files(30).items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(data)
    with sqlite.instance() as instance:
        sqlite.define("photos", target=photos, instance=instance, staging_dir=str(folders / "cars"))
        plan_small(sqlite.catalog, "photos", 14_000)
        in_process("onboard", "photos", instance)
        failed = sqlite.folder("climate", {"a.nc": b"a" * 9000, "b.nc": b"b" * 5000})
        sqlite.define("climate", target=failed, instance=instance)
        in_process("scan", "climate", instance)
        in_process("containerize", "climate", instance)
        (failed / "a.nc").write_bytes(b"other")
        with pytest.raises(Exception, match="changed since"):
            in_process("blitz", "climate", instance)
        sqlite.define("archive", target=sqlite.folder("archive", {"x": b"x"}), instance=instance)
    return sqlite


@pytest.mark.slow
def test_a_person_reads_the_pages_and_follows_them(project: Backend, page: Any, shots: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", lambda message: pytest.fail(message.text) if message.type == "error" else None)
    with served(project, ApiSettings(rate=0)) as server:
        page.goto(server)
        assert page.title() == "Projects - Ptolemy"
        page.screenshot(path=shots / "projects.png", clip={"x": 0, "y": 0, "width": 1280, "height": 520})
        page.get_by_role("link", name="photos").click()
        assert page.get_by_role("heading", level=1).inner_text() == "photos"
        for plot in ("How full the pieces are", "How fast CARs were built"):
            box = page.get_by_role("img", name=plot).bounding_box()
            assert box["width"] > 300
            assert box["height"] > 50
        rows = list(cars.rows(project.catalog, "photos"))
        shown = page.locator("code.cid")
        assert cid.to_text(rows[0].piece_cid_v1) in shown.all_inner_texts()
        shown.nth(2).click()
        assert page.evaluate("getSelection().toString()") == shown.nth(2).inner_text()
        assert page.evaluate(
            "document.documentElement.scrollWidth <= innerWidth"
        )  # wide tables scroll by themselves
        size = {"x": 0, "y": 0, "width": 1280, "height": 1500}
        page.screenshot(path=shots / "project.png", full_page=True, clip=size)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download CAR 0").click()
        assert download.value.suggested_filename == rows[0].file_name
    assert all(url.startswith(server) for url in asked)


@pytest.mark.slow
def test_a_keyboard_and_a_narrow_window_are_enough(project: Backend, page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 700})
    with served(project, ApiSettings(rate=0)) as server:
        page.goto(server)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        reached = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.textContent"))
        assert {"photos", "climate", "archive", "HTTP API"} <= reached
        page.goto(f"{server}/projects/photos")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_enough(project: Backend, page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    with served(project, ApiSettings(rate=0)) as server:
        for path in ("", "/projects/photos", "/projects/climate"):
            page.goto(server + path)
            low = page.evaluate(_CONTRAST)
            assert low == [], path


@pytest.mark.slow
def test_a_person_signs_in_with_the_token(project: Backend, page: Any) -> None:
    with served(project, ApiSettings(token=TOKEN, rate=0)) as server:
        page.goto(f"{server}/projects/photos")
        page.get_by_label("token").fill(TOKEN)
        page.get_by_role("button").click()
        page.wait_for_url(f"{server}/projects/photos")
        assert page.get_by_role("heading", level=1).inner_text() == "photos"


_CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = colour => rgb(colour).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const low = [];
  for (const one of document.querySelectorAll("body *")) {
    if (![...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    if (["title", "desc"].includes(one.tagName)) continue;  // for screen readers
    const style = getComputedStyle(one);
    const ink = light(one.closest("svg") ? style.fill : style.color);
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) low.push(one.tagName + " " + one.textContent.slice(0, 40) + " " + ratio);
  }
  return low;
}"""
