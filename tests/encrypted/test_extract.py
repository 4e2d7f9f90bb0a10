"""CARs of encrypted projects by themselves: extracted with data keys and the alias's key, listed without them."""

from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import data_keys, shards
from ptolemy_core.encryption import Header, ProjectCipher
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.errors import DamagedError, EncryptionError
from ptolemy_core.keys import Keyring
from ptolemy_core.manifest.sealed import unseal, wrapped_keys_in
from ptolemy_core.restore import Extraction
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_core.tree import paths
from tests.encrypted.test_stages import TREE
from tests.restore.trees import extract, read_tree
from tests.stages.conftest import PROFILE, Scene


def cipher_of(stage: Scene, keyring: Keyring) -> ProjectCipher:
    wrapped = data_keys.data_keys(stage.catalog, stage.name)
    return open_cipher(wrapped, keyring, segment=PROFILE.chunk)


def cars_of(stage: Scene) -> list[Path]:
    return sorted(stage.staging.glob("*.car"))


@pytest.mark.parametrize("names", [True, False])
def test_cars_and_keys_are_enough(make: Any, keyring: Keyring, tmp_path: Path, names: bool) -> None:
    stage = make(encrypt_names=names)
    stage.run(TREE)
    report = extract(cars_of(stage), tmp_path / "out", cipher=cipher_of(stage, keyring), complete=True)
    assert report.ok, report.problems
    assert read_tree(tmp_path / "out") == TREE


def test_so_they_are_with_the_root_of_the_data_set(secret: Scene, keyring: Keyring, tmp_path: Path) -> None:
    secret.run(TREE)
    build_root(secret.catalog, secret.name, profile=PROFILE)
    report = extract(cars_of(secret), tmp_path / "out", cipher=cipher_of(secret, keyring))
    assert report.ok, report.problems
    assert read_tree(tmp_path / "out") == TREE


def test_real_paths_choose_what_is_extracted(secret: Scene, keyring: Keyring, tmp_path: Path) -> None:
    secret.run(TREE)
    report = extract(cars_of(secret), tmp_path / "out", b"many/file 3", cipher=cipher_of(secret, keyring))
    assert report.ok, report.problems
    assert read_tree(tmp_path / "out") == {b"many": {b"file 3": TREE[b"many"][b"file 3"]}}  # type: ignore[call-overload, index]


def test_without_a_key_names_stay_encrypted_and_too_long_ones_are_shortened(
    secret: Scene, tmp_path: Path
) -> None:
    secret.run({b"n" * 250: b"one", b"short": b"two"})
    with Extraction(cars_of(secret)) as extraction:
        names = [entry.path.name for entry, _, _ in extraction.entries(lambda path, reason: None)]
        assert extraction.has_hidden_names
    assert sorted(map(len, names)) == [34, 426]
    report = extract(cars_of(secret), tmp_path / "out")
    assert report.ok, report.problems
    assert sorted(map(len, read_tree(tmp_path / "out"))) == [34, 217]


def test_another_projects_keys_decrypt_nothing(make: Any, keyring: Keyring, tmp_path: Path) -> None:
    stage, other = make(), make(name="other")
    stage.run({b"f": b"content"})
    other.run({b"f": b"content"})
    report = extract(cars_of(stage), tmp_path / "out", cipher=cipher_of(other, keyring))
    assert not report.ok
    assert "can't be decrypted" in report.problems[0][1]
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_a_manifest_is_encrypted_and_has_what_its_reading_takes(
    secret: Scene, keyring: Keyring, form: str
) -> None:
    secret.run({b"canary": b"x", b"more": {b"canary %d" % k: b"y" for k in range(40)}})
    written = write_manifest(secret.catalog, secret.name, ManifestOptions(form), profile=PROFILE)
    assert b"canary" not in Path(written.manifest).read_bytes()
    assert wrapped_keys_in(written.manifest) == wrapped_keys_in(str(written.keys))
    decrypted = b"".join(unseal(written.manifest, keyring))
    plain = write_manifest(secret.catalog, secret.name, ManifestOptions(form, plain=True), profile=PROFILE)
    assert decrypted == Path(plain.manifest).read_bytes()
    assert not Path(written.manifest).exists()


def test_every_changed_byte_of_a_manifest_is_refused(secret: Scene, keyring: Keyring) -> None:
    secret.run({b"f": b"x"})
    path = Path(write_manifest(secret.catalog, secret.name, ManifestOptions("csv"), profile=PROFILE).manifest)
    right = path.read_bytes()
    for at in range(len(right)):
        path.write_bytes(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :])
        with pytest.raises(EncryptionError):
            list(unseal(str(path), keyring))
    path.write_bytes(right[:-1])
    with pytest.raises(DamagedError, match="cut off"):
        list(unseal(str(path), keyring))


def test_a_damaged_manifest_is_named(secret: Scene, keyring: Keyring) -> None:
    secret.run({b"f": b"x"})
    path = Path(write_manifest(secret.catalog, secret.name, ManifestOptions("csv"), profile=PROFILE).manifest)
    right = path.read_bytes()
    for wrong in (
        right[:-1],
        right[:-1] + bytes([right[-1] ^ 1]),
        right[:-20],
        right.partition(b"\n")[0] + b"\n",
    ):
        path.write_bytes(wrong)
        with pytest.raises(DamagedError) as caught:
            list(unseal(str(path), keyring))
        assert str(path) in str(caught.value)


def test_problems_name_real_paths_if_the_key_is_there(
    secret: Scene, keyring: Keyring, tmp_path: Path
) -> None:
    secret.run({b"folder": {b"f%d" % k: b"x" * 900 for k in range(3)}, b"g": b"y"})
    (car,) = cars_of(secret)
    raw = bytearray(car.read_bytes())
    where = {one.path: one for one in shards.built(secret.catalog, secret.cars()[0].container_id)}
    raw[where[b"folder\0f1"].car_offset + 400] ^= 1  # in the file's first node or segment
    car.write_bytes(raw)
    report = extract([car], tmp_path / "out", cipher=cipher_of(secret, keyring))
    assert {path for path, _ in report.problems} == {"folder/f1"}
    raw = bytearray(car.read_bytes())
    first = min(where[b"folder\0f%d" % k].car_offset for k in range(3))
    raw[first - 60] ^= 1  # in the folder's node, which is before its first file
    car.write_bytes(raw)
    with Extraction([car]) as extraction:
        extraction.decrypt(cipher_of(secret, keyring))
        seen: list[tuple[bytes, str]] = []
        list(extraction.entries(lambda path, reason: seen.append((bytes(path), reason))))
    assert [path for path, _ in seen] == [b"folder"]


def test_an_error_of_a_segment_names_the_file_in_the_source(secret: Scene, keyring: Keyring) -> None:
    secret.run({b"f": b"x"})
    cipher = cipher_of(secret, keyring)
    car_path = cipher.car_path(b"folder\0file")
    file = cipher.file(car_path, Header.random(), 10)
    with pytest.raises(DamagedError, match="encrypted file folder/file is refused"):
        file.decrypt(0, bytes(66), bytearray(10))
    strange = cipher.file(paths.join(cipher.car_path(b"folder"), b"no name"), Header.random(), 10)
    assert strange.name == "folder/no name"
