"""Encrypted projects, with a keyring and a catalog of their own for each test, under the stages' shrunk profile."""

from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.keys import Keyring
from tests.pipeline.fixtures import postgres
from tests.stages.conftest import Scene, catalog_url
from tests.stages.conftest import make as make_scene

__all__ = ["ALIAS", "catalog_url", "keyring", "make", "make_scene", "postgres", "secret"]

ALIAS = "my-key"


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """The configured keyring, with one key."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    for variable in ("PTOLEMY_KEYS", "PTOLEMY_KEYRING", "PTOLEMY_KEY_COMMAND"):
        monkeypatch.delenv(variable, raising=False)
    ring = Keyring(str(tmp_path / "home" / "keyring.json"))
    ring.create(ALIAS)
    return ring


@pytest.fixture
def make(make_scene: Any, keyring: Keyring) -> Any:
    """Makes a scene of an encrypted project with these settings."""

    def make(**settings: Any) -> Scene:
        scene: Scene = make_scene(**({"encryption": ALIAS} | settings))
        return scene

    return make


@pytest.fixture
def secret(make: Any) -> Scene:
    """An encrypted project."""
    scene: Scene = make()
    return scene
