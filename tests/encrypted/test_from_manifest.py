"""An encrypted manifest and the key are enough to restore from whoever has the pieces: no catalog, no local CAR."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.errors import DamagedError, UnknownKeyError
from ptolemy_core.restore import Report
from ptolemy_core.restore.from_manifest import ManifestKeys, ManifestRestore, load_manifest
from ptolemy_core.restore.project import Writing
from ptolemy_core.restore.remote import Servers
from ptolemy_core.stages.manifest import Manifest, ManifestOptions, write_manifest
from tests.encrypted.test_stages import TREE
from tests.restore.servers import honest, provider
from tests.restore.trees import read_tree
from tests.stages.conftest import PROFILE, Scene


def delivered(stage: Scene, folder: Path, options: ManifestOptions) -> Manifest:
    """Build all, write a manifest elsewhere, and leave the CARs to a provider alone."""
    stage.run(TREE)
    written = write_manifest(stage.catalog, stage.name, options, profile=PROFILE)
    folder.mkdir()
    for car in stage.staging.glob("*.car"):
        shutil.move(car, folder)
    return written


def restored(found: ManifestRestore, to: Path) -> Report:
    return found.write(str(to).encode(), Writing(threads=3))


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_an_encrypted_manifest_and_the_key_restore_from_a_provider(
    make: Any, tmp_path: Path, form: str, names: bool
) -> None:
    stage = make(encrypt_names=names)
    kept = str(tmp_path / "kept")
    written = delivered(stage, tmp_path / "provider", ManifestOptions(form, kept))
    before = sorted(Path(kept).iterdir())
    with provider(tmp_path / "provider", honest) as server:
        servers = Servers.of([server.template])
        found = load_manifest(written.manifest, servers=servers, profile=PROFILE)
        assert found.needs.missing == []
        report = restored(found, tmp_path / "out")
        assert report.ok, report.problems
        assert read_tree(tmp_path / "out") == TREE
        part = load_manifest(written.manifest, [b"many\0file 3"], servers=servers, profile=PROFILE)
        assert restored(part, tmp_path / "part").ok
    assert read_tree(tmp_path / "part") == {b"many": {b"file 3": TREE[b"many"][b"file 3"]}}  # type: ignore[call-overload, index]
    assert sorted(Path(kept).iterdir()) == before, "nothing was decrypted beside it"


def test_a_plain_manifest_takes_the_file_of_data_keys(secret: Scene, tmp_path: Path) -> None:
    options = ManifestOptions("csv", str(tmp_path / "kept"), plain=True)
    written = delivered(secret, tmp_path / "provider", options)
    folders = [str(tmp_path / "provider")]
    keys = ManifestKeys(written.keys)
    found = load_manifest(written.manifest, folders=folders, profile=PROFILE, keys=keys)
    assert restored(found, tmp_path / "out").ok
    assert read_tree(tmp_path / "out") == TREE
    without = load_manifest(written.manifest, folders=folders, profile=PROFILE)
    assert not restored(without, tmp_path / "no").ok
    assert not any(path.is_file() and path.stat().st_size for path in (tmp_path / "no").rglob("*"))


def test_without_the_key_or_with_a_damaged_manifest_nothing_is_restored(
    secret: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = delivered(secret, tmp_path / "provider", ManifestOptions("csv", str(tmp_path / "kept")))
    folders = [str(tmp_path / "provider")]
    with monkeypatch.context() as patch:
        patch.setenv("PTOLEMY_KEYRING", str(tmp_path / "none.json"))
        with pytest.raises(UnknownKeyError, match="there is no key my-key"):
            load_manifest(written.manifest, folders=folders, profile=PROFILE)
    path = Path(written.manifest)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=path.name):
        load_manifest(written.manifest, folders=folders, profile=PROFILE)


def test_cars_that_are_in_none_of_the_folders_are_missing(secret: Scene, tmp_path: Path) -> None:
    written = delivered(secret, tmp_path / "provider", ManifestOptions("csv", str(tmp_path / "kept")))
    found = load_manifest(written.manifest, folders=[str(tmp_path)], profile=PROFILE)
    assert [one.reason for one in found.needs.missing] == ["not found"] * len(secret.cars())
