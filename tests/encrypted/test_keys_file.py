"""Data keys outside of the catalog: the file beside the CARs, renamed projects, one form of manifest."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import data_keys
from ptolemy_core.errors import SettingsError, UnknownKeyError
from ptolemy_core.keys import Keyring, unwrap
from ptolemy_core.manifest.sealed import keys_json, wrapped_keys_in
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.stages import remove
from ptolemy_core.stages.keys_file import keys_path
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_core.stages.project_keys import define_project
from ptolemy_core.stages.rewrap import rewrap_all
from ptolemy_core.staging import build as staging_build
from tests.encrypted.conftest import ALIAS
from tests.encrypted.test_stages import TREE, data, restored
from tests.stages.conftest import PROFILE, Crash, Scene


def manifests(stage: Scene) -> list[str]:
    return sorted(name for name in os.listdir(stage.staging / "manifests") if ".manifest." in name)


def test_data_keys_are_beside_the_cars_before_the_first_of_them_has_its_name(
    secret: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(*_: Any) -> None:
        kept = wrapped_keys_in(keys_path(secret.project))
        assert kept == data_keys.data_keys(secret.catalog, secret.name)
        raise Crash

    monkeypatch.setattr(staging_build._CarAndOutline, "publish", publish)
    with pytest.raises(Crash):
        secret.run({b"f": b"x"})


def test_data_keys_are_beside_the_cars_once_a_project_is_defined(secret: Scene) -> None:
    define_project(secret.catalog, secret.project)
    assert wrapped_keys_in(keys_path(secret.project)) == data_keys.data_keys(secret.catalog, secret.name)


def test_a_rotation_writes_the_data_keys_beside_the_cars_again(secret: Scene, keyring: Keyring) -> None:
    secret.run({b"f": b"x"})
    keyring.rotate(ALIAS)
    rewrap_all(secret.catalog, keyring, ALIAS)
    assert {one.alias_version for one in wrapped_keys_in(keys_path(secret.project))} == {2}
    assert os.listdir(secret.staging / "manifests") == [f"{secret.name}.keys.json"]


def test_data_keys_of_a_lost_catalog_are_put_aside_and_not_overwritten(make: Any, secret: Scene) -> None:
    secret.run({b"f": b"x"})
    old = Path(keys_path(secret.project)).read_bytes()
    remove.delete(secret.catalog, secret.name, force=True)
    define_project(secret.catalog, secret.project)
    folder = secret.staging / "manifests"
    assert (folder / f"{secret.name}.keys.before-1.json").read_bytes() == old
    kept = keys_json(data_keys.data_keys(secret.catalog, secret.name))
    assert (folder / f"{secret.name}.keys.json").read_bytes() == kept


def test_the_removal_of_a_project_says_where_its_data_keys_are(secret: Scene) -> None:
    secret.run({b"f": b"x"})
    with pytest.raises(Exception, match="keep a copy of that file") as caught:
        remove.delete(secret.catalog, secret.name)
    assert keys_path(secret.project) in str(caught.value)


@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_an_encrypted_project_can_be_renamed(
    make: Any, keyring: Keyring, tmp_path: Path, storage: str
) -> None:
    stage = make(car_storage=storage)
    stage.run(TREE)
    old = {one.use: one for one in data_keys.data_keys(stage.catalog, stage.name)}
    renamed = Scene(stage.catalog, remove.rename(stage.catalog, stage.name, "renamed"))
    new = data_keys.data_keys(stage.catalog, "renamed")
    assert {one.use: unwrap(keyring, one) for one in new} == {use: unwrap(keyring, old[use]) for use in old}
    assert data_keys.data_keys(stage.catalog, stage.name) == []
    assert wrapped_keys_in(keys_path(renamed.project)) == new
    assert renamed.problems() == []
    renamed.run({b"later": data(700)})
    assert restored(renamed, tmp_path / "out") == TREE | {b"later": data(700)}


def test_a_rename_without_the_key_changes_nothing(secret: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.run({b"f": b"x"})
    with monkeypatch.context() as patch:
        patch.setenv("PTOLEMY_KEYRING", str(secret.staging / "none.json"))
        with pytest.raises(UnknownKeyError, match="there is no key my-key"):
            remove.rename(secret.catalog, secret.name, "renamed")
    assert ProjectRestore(secret.catalog, secret.name, profile=PROFILE).needs.missing == []


def test_manifests_of_an_encrypted_project_are_all_encrypted_or_all_plain(secret: Scene) -> None:
    secret.run({b"f": b"x"})

    def write(form: str, plain: bool = False) -> None:
        write_manifest(secret.catalog, secret.name, ManifestOptions(form, plain=plain), profile=PROFILE)

    write("csv")
    write("jsonl")
    assert manifests(secret) == ["p.manifest.csv.encrypted", "p.manifest.jsonl.encrypted"]
    write("csv", plain=True)
    assert manifests(secret) == ["p.manifest.csv"]
    write("jsonl", plain=True)
    assert manifests(secret) == ["p.manifest.csv", "p.manifest.jsonl"]
    write("parquet")
    assert manifests(secret) == ["p.manifest.parquet.encrypted"]


def test_a_manifest_that_fails_leaves_the_earlier_one(secret: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.run({b"f": b"x"})
    write_manifest(secret.catalog, secret.name, ManifestOptions("csv"), profile=PROFILE)

    def fail(*_: Any) -> Any:
        raise Crash

    monkeypatch.setattr("ptolemy_core.stages.manifest.pages", fail)
    with pytest.raises(Crash):
        write_manifest(secret.catalog, secret.name, ManifestOptions("csv", plain=True), profile=PROFILE)
    assert manifests(secret) == ["p.manifest.csv.encrypted"]


def test_a_destroyed_key_takes_no_other_keys_backup(keyring: Keyring, tmp_path: Path) -> None:
    other = Keyring(str(tmp_path / "other.json")).create(ALIAS)
    (mine,) = keyring.versions(ALIAS)
    keyring.destroy(ALIAS)
    with pytest.raises(
        SettingsError, match=f"had another key for version 1 of my-key .ID {mine.id}, the new"
    ):
        keyring.add([other])
    assert keyring.add([mine])
    value = json.loads(Path(keyring.path).read_text())["keys"][ALIAS][0]
    del value["id"], value["key"]
    old = {"format": "ptolemy-keyring/1", "keys": {ALIAS: [value | {"destroyed": "2026-01-01T00:00:00Z"}]}}
    Path(keyring.path).write_text(json.dumps(old))  # destroyed by a version that kept no ID
    assert keyring.add([other])
