"""Wrapped data keys in the catalog: the first of each stays, rotation replaces all or none."""

import os
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from ptolemy_core.catalog import Catalog, data_keys, projects
from ptolemy_core.errors import WrongKeyError
from ptolemy_core.keys import Keyring, new_data_key, unwrap
from ptolemy_core.project import parse_project
from ptolemy_core.stages.rewrap import rewrap_all


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    made = Keyring(str(tmp_path / "keys" / "keyring.json"))
    made.create("a")
    return made


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("target", "staging"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


def define(catalog: Catalog, *names: str) -> None:
    folders = {f"{name}_dir": os.path.abspath(name) for name in ("target", "staging")}
    for name in names:
        projects.create(catalog, parse_project({"name": name} | folders))


def test_the_first_data_key_of_a_project_use_and_version_stays(catalog: Catalog, ring: Keyring) -> None:
    define(catalog, "photos", "videos")
    first = new_data_key(ring, "a", "photos", "files")
    assert data_keys.keep(catalog, first) == first
    assert data_keys.keep(catalog, new_data_key(ring, "a", "photos", "files")) == first
    others = [
        new_data_key(ring, "a", "photos", "files", 2),
        new_data_key(ring, "a", "photos", "names"),
        new_data_key(ring, "a", "videos", "files"),
    ]
    for one in others:
        assert data_keys.keep(catalog, one) == one
    assert data_keys.data_keys(catalog) == [first, *others]
    assert data_keys.data_keys(catalog, "videos") == others[2:]
    assert data_keys.data_keys(catalog, alias="b") == []


def test_a_data_key_of_no_project_is_refused(catalog: Catalog, ring: Keyring) -> None:
    with pytest.raises(IntegrityError):
        data_keys.keep(catalog, new_data_key(ring, "a", "photos", "files"))


def test_rotation_wraps_all_of_an_alias_anew_and_again_does_nothing(catalog: Catalog, ring: Keyring) -> None:
    define(catalog, "photos", "videos")
    ring.create("b")
    made = [
        data_keys.keep(catalog, new_data_key(ring, alias, project, "files"))
        for alias, project in (("a", "photos"), ("b", "videos"))
    ]
    ring.rotate("a")
    ring.rotate("b")
    assert rewrap_all(catalog, ring, "a") == 1
    assert rewrap_all(catalog, ring, "a") == 0
    photos, videos = data_keys.data_keys(catalog)
    assert (photos.alias_version, videos) == (2, made[1])
    assert unwrap(ring, photos) == unwrap(ring, made[0])


def test_one_that_can_not_be_unwrapped_stops_all(catalog: Catalog, ring: Keyring, tmp_path: Path) -> None:
    define(catalog, "photos", "videos")
    other = Keyring(str(tmp_path / "other.json"))
    other.create("a")
    made = [
        data_keys.keep(catalog, new_data_key(keyring, "a", project, "files"))
        for keyring, project in ((ring, "photos"), (other, "videos"))
    ]
    ring.rotate("a")
    with pytest.raises(WrongKeyError):
        rewrap_all(catalog, ring, "a")
    assert data_keys.data_keys(catalog) == made


def test_one_that_was_wrapped_anew_meanwhile_stays(catalog: Catalog, ring: Keyring) -> None:
    define(catalog, "photos")
    old = data_keys.keep(catalog, new_data_key(ring, "a", "photos", "files"))
    ring.rotate("a")
    assert rewrap_all(catalog, ring, "a") == 1
    late = new_data_key(ring, "a", "photos", "files")
    assert data_keys.replace(catalog, [(old, late)]) == 0
    assert data_keys.data_keys(catalog) != [late]
