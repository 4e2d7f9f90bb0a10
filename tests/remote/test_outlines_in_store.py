"""Outlines in a store: encrypted and generated projects with a URL as staging_dir give the CARs of a folder."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import containers, data_keys, stored_cars
from ptolemy_core.errors import SourceError
from ptolemy_core.keys import Keyring
from ptolemy_core.manifest.sealed import keys_json
from ptolemy_core.restore.project import ProjectRestore
from ptolemy_core.stages import change
from ptolemy_core.stages.rewrap import rewrap_all
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.staging.whole_objects import WholeObjects
from ptolemy_core.status.free_space import missing
from tests.encrypted.conftest import ALIAS, keyring
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, run, write
from tests.remote.test_restore_to_store import objects
from tests.remote.test_staged_in_store import in_store, own_home, staged
from tests.stages.conftest import PROFILE, Scene

__all__ = ["keyring", "own_home"]

GENERATED = {"car_storage": "generated"}


def outlines(store: Store, project: str = "far") -> dict[str, bytes]:
    return {
        name.removeprefix(f"outlines/{project}/"): data
        for name, data in objects(store, "cars/").items()
        if name.startswith(f"outlines/{project}/")
    }


def generated(make: Any, store: Store, name: str = "far", **settings: Any) -> Scene:
    scene = staged(make, store, name, **(GENERATED | settings))
    write(scene.target, FILES)
    run(scene)
    return scene


def bytes_of(scene: Scene) -> list[bytes]:
    found = []
    for row in scene.cars():
        with stored_cars.of_row(scene.project, row).open() as car:
            found.append(car.read(0, car.size))
    return found


def test_a_generated_project_in_a_store_is_that_of_a_folder(make: Any, store: Store, tmp_path: Path) -> None:
    local, far = make("local", **GENERATED), generated(make, store)
    write(local.target, FILES)
    run(local)
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    assert in_store(store) == {}
    assert sorted(outlines(store)) == sorted(outline_name(row.file_name) for row in far.cars())
    assert bytes_of(far) == bytes_of(local)
    assert missing(far.catalog, far.project) == []
    assert far.problems() == []
    assert [verdict.problems for verdict in far.verify(source=True, again=True)] == [[]] * len(far.cars())
    restore = ProjectRestore(far.catalog, far.name, profile=PROFILE)
    assert restore.write(str(tmp_path / "back").encode()).ok
    assert {key: (tmp_path / "back" / key).read_bytes() for key in FILES} == FILES
    assert not any(path.is_file() for path in (tmp_path / "own" / "staging").rglob("*"))


@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_an_encrypted_project_in_a_store_is_verified_and_restored(
    make: Any, bucket: Store, keyring: Keyring, tmp_path: Path, storage: str
) -> None:
    far = generated(make, bucket, encryption=ALIAS, car_storage=storage)
    assert sorted(outlines(bucket)) == sorted(outline_name(row.file_name) for row in far.cars())
    assert len(in_store(bucket)) == (len(far.cars()) if storage == "staged" else 0)
    assert [verdict.problems for verdict in far.verify(source=True, again=True)] == [[]] * len(far.cars())
    restore = ProjectRestore(far.catalog, far.name, profile=PROFILE)
    assert restore.write(str(tmp_path / "back").encode()).ok
    assert {key: (tmp_path / "back" / key).read_bytes() for key in FILES} == FILES
    everything = b"".join(objects(bucket, "cars/").values())
    assert all(data not in everything for data in FILES.values() if len(data) > 3)


def test_an_encrypted_car_is_the_same_bytes_in_a_store_as_in_a_folder(
    make: Any, bucket: Store, keyring: Keyring, tmp_path: Path
) -> None:
    """The same salts, as they are the project's own: its CARs are built again into a folder."""
    far = generated(make, bucket, encryption=ALIAS, car_storage="staged")
    kept = in_store(bucket)
    folder = tmp_path / "folder"
    change.change(far.catalog, far.name, {"staging_dir": str(folder)}, accept_loss=True)
    for row in far.cars():
        far.build(row.number, rebuild=True)
        assert (folder / row.file_name).read_bytes() == kept[row.file_name]


def test_the_data_keys_are_in_the_store_before_the_first_car_is(
    make: Any, bucket: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bytes]] = []
    real = StoreArea.put

    def look(area: StoreArea, name: str, *rest: Any) -> None:
        seen.append(objects(bucket, "cars/"))
        real(area, name, *rest)

    monkeypatch.setattr(StoreArea, "put", look)
    far = generated(make, bucket, encryption=ALIAS, car_storage="staged")
    wrapped = keys_json(data_keys.data_keys(far.catalog, far.name))
    assert seen[0]["manifests/far.keys.json"] == wrapped
    keyring.rotate(ALIAS)
    rewrap_all(far.catalog, keyring, ALIAS)
    again = objects(bucket, "cars/")["manifests/far.keys.json"]
    assert again == keys_json(data_keys.data_keys(far.catalog, far.name)) != wrapped


def test_data_keys_of_other_cars_in_the_store_are_put_aside(
    make: Any, bucket: Store, keyring: Keyring
) -> None:
    bucket.put({"cars/manifests/far.keys.json": b"others"})
    generated(make, bucket, encryption=ALIAS)
    found = objects(bucket, "cars/")
    assert found["manifests/far.keys.before-1.json"] == b"others"
    assert found["manifests/far.keys.json"] != b"others"


_DIES = """
import os, sys
from ptolemy_core.catalog import Catalog
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.stages.blitz import build_container
from tests.stages.conftest import BUILDING

def die(*_):
    os.kill(os.getpid(), 9)

real = StoreArea.publish_outline

def publish(*given):
    real(*given)
    die()

StoreArea.publish_outline = publish if sys.argv[3] == "after" else die
build_container(Catalog(sys.argv[1]), "far", int(sys.argv[2]), BUILDING)
"""


@pytest.mark.parametrize("storage", ["staged", "generated"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_build_killed_around_the_upload_of_its_outline_is_built_again_with_the_same_bytes(
    make: Any, bucket: Store, keyring: Keyring, catalog_url: str, storage: str, moment: str
) -> None:
    far = staged(make, bucket, encryption=ALIAS, car_storage=storage)
    write(far.target, FILES)
    far.scan()
    far.plan()
    killed = subprocess.run([sys.executable, "-c", _DIES, catalog_url, "0", moment], check=False)
    assert killed.returncode == -9
    [receipt] = far.cars()
    assert not receipt.named
    assert len(outlines(bucket)) == (moment == "after")
    kept = outlines(bucket)
    run(far)
    built = far.cars()[0]
    assert built.named
    assert built.piece_cid_v2 == receipt.piece_cid_v2
    assert kept.items() <= outlines(bucket).items()
    assert [verdict.problems for verdict in far.verify(again=True)] == [[]] * len(far.cars())


def headers(scene: Scene) -> list[bytes | None]:
    """Salts and nonce prefixes of the files in the plan's last container."""
    row = list(containers.rows(scene.catalog, scene.name))[-1]
    return list(containers.content(scene.catalog, row.id).headers)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_that_changed_after_a_killed_upload_never_meets_its_old_salt(
    make: Any, bucket: Store, keyring: Keyring, catalog_url: str, moment: str
) -> None:
    far = staged(make, bucket, encryption=ALIAS, **GENERATED)
    write(far.target, {"f": b"first content"})
    far.scan()
    far.plan()
    subprocess.run([sys.executable, "-c", _DIES, catalog_url, "0", moment], check=False)
    [receipt] = far.cars()
    salts, kept = headers(far), outlines(bucket)
    place = far.target / "f"
    status = place.stat()
    place.write_bytes(b"other content")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    if moment == "before":
        with pytest.raises(SourceError):
            far.build(0)
    else:  # the CAR is complete, of the content that it was hashed from
        far.build(0)
        with stored_cars.of_row(far.project, receipt).open() as car, pytest.raises(SourceError):
            car.read(0, car.size)
        far.verify(again=True)
    assert outlines(bucket) == kept
    far.plan()
    far.blitz()
    built = far.cars()[-1]
    assert built.piece_cid_v2 != receipt.piece_cid_v2
    assert set(headers(far)).isdisjoint(salts)
    with stored_cars.of_row(far.project, built).open() as car:
        assert car.size == len(car.read(0, car.size))


def test_an_outline_that_is_there_is_not_sent_again(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = generated(make, bucket)
    monkeypatch.setattr(WholeObjects, "put", None)
    bad = outlines(bucket)
    far.build(0, rebuild=True)
    assert outlines(bucket) == bad
