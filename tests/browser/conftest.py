"""Chromium without a window, where the machine has it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.fixtures import backend, postgres, sqlite

__all__ = ["backend", "folders", "page", "postgres", "shots", "sqlite"]

REQUIRED = os.environ.get("PTOLEMY_BROWSER") == "required"
"""Set in CI: there a missing browser is a failure, not a test that isn't run."""

SHOTS = os.environ.get("PTOLEMY_SCREENSHOTS")
"""Folder for screenshots: docs/images renews those of the docs."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def page(shots: Path) -> Iterator[Any]:
    """A page of a fresh browser."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        message = "NOT RUN: no Chromium on this machine: install the package chromium of your system"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            opened = browser.new_page(viewport={"width": 1280, "height": 860})
            opened.set_default_timeout(120_000)
            yield opened
        finally:
            shots.mkdir(parents=True, exist_ok=True)
            opened.screenshot(path=shots / "last.png")
            browser.close()


@pytest.fixture
def folders() -> Iterator[Path]:
    """A temporary folder with a short name, which pictures show."""
    with tempfile.TemporaryDirectory(prefix="data-") as path:
        yield Path(path)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go."""
    return Path(SHOTS or tmp_path)
