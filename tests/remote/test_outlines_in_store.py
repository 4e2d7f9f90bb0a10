"""Outlines in a store: encrypted and generated projects with a URL as staging_dir give the CARs of a folder."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import obstore
import pytest
from fastapi.testclient import TestClient

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import containers, data_keys, projects, stored_cars
from ptolemy_core.dag import cid
from ptolemy_core.errors import (
    BusyError,
    OutlineError,
    ReceiptError,
    SettingsError,
    SourceError,
    StagingError,
)
from ptolemy_core.gateway.access import Access
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.keys import Keyring
from ptolemy_core.manifest.sealed import keys_json
from ptolemy_core.restore.project import ProjectRestore
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.stages import build_job, change, release, remove
from ptolemy_core.stages.build_job import BuildJob
from ptolemy_core.stages.project_keys import define_project
from ptolemy_core.stages.reservation import drop_parts
from ptolemy_core.stages.rewrap import rewrap_all
from ptolemy_core.staging import outline_cache, outline_object, outline_prefixes, sent_outline
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.staging.whole_objects import WholeObjects
from ptolemy_core.status.free_space import missing
from ptolemy_dagster.http.piece_app import PieceApp, PieceServer
from tests.encrypted.conftest import ALIAS, keyring
from tests.remote.clouds import Cloud
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, run, write
from tests.remote.test_restore_to_store import objects
from tests.remote.test_staged_in_store import in_store, own_home, staged
from tests.stages.conftest import BUILDING, PROFILE, Scene

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


@pytest.mark.parametrize(("storage", "moment"), [("generated", "before"), ("staged", "after")])
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


def test_of_two_encrypted_builds_that_read_other_bytes_only_the_recorded_one_sends_anything(
    make: Any, bucket: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two machines: the first lost its lock after it had hashed a file, which then changed behind its time."""
    far = staged(make, bucket, encryption=ALIAS)
    write(far.target, {"f": b"first content"})
    far.scan()
    far.plan()
    [row] = containers.rows(far.catalog, far.name)
    first, second = (build_job.load(far.catalog, far.project, row, PROFILE, None) for _ in range(2))

    def build(job: BuildJob) -> None:
        build_job.work(job, BUILDING.options, complete=build_job.before_name(far.catalog, job, 0.0))

    real = build_job.keep_keys

    def second_is_quicker(*given: Any) -> None:
        monkeypatch.setattr(build_job, "keep_keys", real)
        monkeypatch.setenv("PTOLEMY_KEYRING", str(tmp_path / "home" / "keyring.json"))
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "second"))
        status = (far.target / "f").stat()
        (far.target / "f").write_bytes(b"other content")
        os.utime(far.target / "f", ns=(status.st_atime_ns, status.st_mtime_ns))
        build(second)
        real(*given)

    monkeypatch.setattr(build_job, "keep_keys", second_is_quicker)
    with pytest.raises(ReceiptError):
        build(first)
    [receipt] = far.cars()
    assert list(in_store(bucket)) == [receipt.file_name]
    assert list(outlines(bucket)) == [outline_name(receipt.file_name)]


def test_an_outline_that_is_there_is_not_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after a kill between its upload and its receipt; one with other times replaces it."""
    area = StoreArea(f"s3://{store.bucket}/cars", None, str(tmp_path))
    output: Any = SimpleNamespace(path=str(tmp_path / "ours"))
    for content in (b"ours", b"same size"[:4], b"longer"):
        (tmp_path / "ours").write_bytes(content)
        area.publish_outline("p", output, "x.car")
        assert outlines(store, "p") == {"x.outline": content}
    monkeypatch.setattr(WholeObjects, "put", None)
    area.publish_outline("p", output, "x.car")
    (tmp_path / "ours").unlink()  # by a later attempt on this machine
    with pytest.raises(BusyError, match="took over"):
        area.publish_outline("p", output, "x.car")


def changed_put(monkeypatch: pytest.MonkeyPatch, before: Any) -> None:
    """Let something happen just before an object is put."""
    real = WholeObjects.put

    def put(objects: WholeObjects, name: str, *rest: Any) -> None:
        before(objects, name)
        real(objects, name, *rest)

    monkeypatch.setattr(WholeObjects, "put", put)


def test_an_outline_that_another_build_sent_meanwhile_is_not_replaced_unseen(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    area = StoreArea(f"s3://{store.bucket}/cars", None, str(tmp_path))
    ours = tmp_path / "ours"
    ours.write_bytes(b"ours")
    output: Any = SimpleNamespace(path=str(ours))
    others = iter([b"theirs", b"again"])
    changed_put(monkeypatch, lambda *_: store.put({"cars/outlines/p/x.outline": next(others)}))
    with pytest.raises(BusyError, match="is being written by another process"):
        area.publish_outline("p", output, "x.car")
    assert outlines(store, "p") == {"x.outline": b"again"}


def test_an_outline_whose_sending_was_answered_to_nobody_counts_as_sent(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where the connection broke after the store had it: the same request is then refused."""
    area = StoreArea(f"s3://{bucket.bucket}/cars", None, str(tmp_path))
    (tmp_path / "ours").write_bytes(b"ours")
    output: Any = SimpleNamespace(path=str(tmp_path / "ours"))
    changed_put(monkeypatch, lambda *_: bucket.put({"cars/outlines/p/x.outline": b"ours"}))
    area.publish_outline("p", output, "x.car")
    assert outlines(bucket, "p") == {"x.outline": b"ours"}


def test_a_large_outline_is_sent_in_parts(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sent_outline, "ONE_REQUEST", 3)
    monkeypatch.setattr(WholeObjects, "put", None)
    area = StoreArea(f"s3://{bucket.bucket}/cars", None, str(tmp_path))
    (tmp_path / "ours").write_bytes(b"ours")
    output: Any = SimpleNamespace(path=str(tmp_path / "ours"))
    for _ in range(2):
        area.publish_outline("p", output, "x.car")
        assert outlines(bucket, "p") == {"x.outline": b"ours"}
        monkeypatch.setattr(StoreArea, "put", None)


def test_a_large_outline_that_another_build_replaces_while_it_is_sent_in_parts_does_not_go_unnoticed(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sent_outline, "ONE_REQUEST", 3)
    area = StoreArea(f"s3://{bucket.bucket}/cars", None, str(tmp_path))
    (tmp_path / "ours").write_bytes(b"ours")
    output: Any = SimpleNamespace(path=str(tmp_path / "ours"))
    real = StoreArea.put

    def put(area: StoreArea, *given: Any) -> None:
        real(area, *given)
        bucket.put({"cars/outlines/p/x.outline": b"them"})

    monkeypatch.setattr(StoreArea, "put", put)
    with pytest.raises(BusyError, match="is being written by another process"):
        area.publish_outline("p", output, "x.car")
    assert outlines(bucket, "p") == {"x.outline": b"them"}


def test_an_outline_of_many_megabytes_is_put_on_a_condition(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """More than a client sends in one request by itself, from a file that isn't read into memory."""
    monkeypatch.setattr(StoreArea, "put", None)
    content = os.urandom(1 << 20) * 70
    (tmp_path / "ours").write_bytes(content)
    area = StoreArea(f"s3://{store.bucket}/cars", None, str(tmp_path))
    output: Any = SimpleNamespace(path=str(tmp_path / "ours"))
    others = iter([b"theirs", b"again"])
    with monkeypatch.context() as patch, pytest.raises(BusyError):
        changed_put(patch, lambda *_: store.put({"cars/outlines/p/x.outline": next(others)}))
        area.publish_outline("p", output, "x.car")
    area.publish_outline("p", output, "x.car")
    assert outlines(store, "p")["x.outline"] == content


def test_a_store_that_fails_while_an_outline_is_sent_leaves_none_and_the_next_blitz_sends_it(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = staged(make, bucket, **GENERATED)
    write(far.target, FILES)
    far.scan()
    far.plan()
    with monkeypatch.context() as away:
        away.setenv("PTOLEMY_STORE_PATIENCE", "0.1")
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(StagingError, match=r"outline s3://.*can't be written .the connection failed"):
            far.blitz()
    assert outlines(bucket) == {}
    far.blitz()
    assert len(outlines(bucket)) == len(far.cars())


@pytest.mark.parametrize("encryption", ["None", ALIAS])
def test_ranges_of_a_generated_piece_are_served_from_a_store(
    make: Any, bucket: Store, keyring: Keyring, encryption: str
) -> None:
    far = generated(make, bucket, encryption=encryption, public_pieces=True)
    [whole, *_] = bytes_of(far)
    server = PieceServer(Holdings(far.catalog, Library(), PROFILE), Access(()))
    try:
        http = TestClient(PieceApp(server), client=("203.0.113.5", 5000))
        url = f"/piece/{cid.to_text(far.cars()[0].piece_cid_v2)}"
        part = http.get(url, headers={"Range": "bytes=7-56"})
        assert (part.status_code, part.content) == (206, whole[7:57])
        assert http.get(url).content == whole
    finally:
        server.close()


def test_an_outline_is_fetched_once_and_then_read_from_the_cache(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    far = generated(make, bucket)
    fetched: list[bytes] = []
    real = ObjectSource.read

    def read(source: ObjectSource, path: bytes, *rest: Any) -> None:
        fetched.append(path)
        real(source, path, *rest)

    monkeypatch.setattr(ObjectSource, "read", read)
    before = bytes_of(far)
    assert len(fetched) == len(far.cars())
    assert bytes_of(far) == before
    assert len(fetched) == len(far.cars())
    cache = tmp_path / "own" / "cache" / "outlines"
    assert cache.stat().st_mode & 0o77 == 0
    for block in cache.iterdir():  # what isn't as it was kept is fetched again
        block.write_bytes(block.read_bytes()[:-1] + b"?")
    assert bytes_of(far) == before
    assert len(fetched) == 2 * len(far.cars())


def test_the_cache_keeps_what_was_used_last_and_no_more_than_its_bound(tmp_path: Path) -> None:
    cache = outline_cache.BlockCache(str(tmp_path / "cache"), most_bytes=3 * 42, most_files=3)

    def block(key: str) -> None:
        cache.get(key, lambda: bytes(10))
        os.utime(tmp_path / "cache" / key, ns=(next(clock), next(clock)))

    clock = iter(range(1, 100))
    for key in "abc":
        block(key)
    block("a")
    block("d")
    assert sorted(os.listdir(tmp_path / "cache")) == ["a", "c", "d"]


def test_a_cache_that_can_not_be_written_is_done_without(make: Any, bucket: Store, tmp_path: Path) -> None:
    far = generated(make, bucket)
    (tmp_path / "own").mkdir(exist_ok=True)
    (tmp_path / "own" / "cache").write_text("not a folder")
    assert far.problems() == []


def test_a_damaged_or_lost_outline_in_a_store_is_an_error_and_rebuilt(make: Any, bucket: Store) -> None:
    far = generated(make, bucket)
    good = outlines(bucket)
    [first, second] = sorted(good)
    bucket.put({f"cars/outlines/far/{first}": good[first][:300] + b"?" + good[first][301:]})
    bucket.client.delete_object(Bucket=bucket.bucket, Key=f"cars/outlines/far/{second}")
    assert [outline_name(row.file_name) for row in missing(far.catalog, far.project)] == [second]
    assert all(verdict.problems for verdict in far.verify(again=True))
    with pytest.raises(OutlineError):
        bytes_of(far)
    for row in far.cars():
        far.build(row.number, rebuild=True)
    assert outlines(bucket) == good


def test_an_outline_that_is_replaced_while_it_is_open_is_not_read_on(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    far = generated(make, bucket)
    [row, *_] = far.cars()
    name = outline_name(row.file_name)
    monkeypatch.setattr(outline_object, "BLOCK", 64)
    with stored_cars.of_row(far.project, row).open() as car:
        bucket.put({f"cars/outlines/far/{name}": bytes(len(outlines(bucket)[name]))})
        with pytest.raises(OutlineError, match="it was overwritten"):
            car.read(0, car.size)


def test_a_renamed_project_has_its_outlines_and_keys_under_its_new_name(
    make: Any, bucket: Store, keyring: Keyring
) -> None:
    far = generated(make, bucket, encryption=ALIAS)
    kept = outlines(bucket)
    renamed = remove.rename(far.catalog, "far", "other")
    assert outlines(bucket) == {}
    assert outlines(bucket, "other") == kept
    assert "manifests/other.keys.json" in objects(bucket, "cars/")
    assert Scene(far.catalog, renamed).problems() == []
    assert not [name for name in objects(bucket, "cars/") if "far" in name or ".renaming" in name]


class Killed(BaseException):
    """As a kill: nothing that comes after it is done."""


def killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize("encryption", ["None", ALIAS])
def test_what_a_rename_left_that_was_killed_after_it_is_deleted_by_the_next_blitz(
    make: Any, store: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, encryption: str
) -> None:
    far = generated(make, store, encryption=encryption)
    kept = outlines(store)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(outline_prefixes, "_finish", killed)
        remove.rename(far.catalog, "far", "other")
    assert (outlines(store), outlines(store, "other")) == (kept, kept)
    renamed = projects.get(far.catalog, "other")
    drop_parts(far.catalog, renamed)
    assert outlines(store, "other") == kept
    assert not [name for name in objects(store, "cars/") if "far" in name or ".renaming" in name]
    assert Scene(far.catalog, renamed).problems() == []


def test_what_is_left_of_a_killed_rename_stays_while_another_project_has_that_name(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = generated(make, bucket)
    kept = outlines(bucket)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(outline_prefixes, "_finish", killed)
        remove.rename(far.catalog, "far", "other")
    define_project(far.catalog, far.project)
    drop_parts(far.catalog, projects.get(far.catalog, "other"))
    assert outlines(bucket) == kept


def test_what_a_rename_left_that_was_killed_before_it_is_deleted_by_the_next_one(
    make: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = generated(make, store)
    kept = outlines(store)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(remove.removal, "rename", killed)
        remove.rename(far.catalog, "far", "wrong")
    assert outlines(store, "wrong") == kept
    drop_parts(far.catalog, far.project)  # it can't tell a killed rename from one that is under way
    assert far.problems() == []
    renamed = remove.rename(far.catalog, "far", "other")
    assert outlines(store, "other") == kept
    assert sorted(objects(store, "cars/outlines/")) == sorted(f"other/{name}" for name in kept)
    assert Scene(far.catalog, renamed).problems() == []


def test_a_rename_that_is_refused_leaves_no_copies(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = generated(make, bucket)
    before = objects(bucket, "cars/")

    def refuse(*_: Any) -> None:
        raise SettingsError("another project has that name")

    monkeypatch.setattr(remove.removal, "rename", refuse)
    with pytest.raises(SettingsError):
        remove.rename(far.catalog, "far", "other")
    assert objects(bucket, "cars/") == before


def test_a_project_keeps_its_name_and_outlines_where_a_store_copies_them_wrongly(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server that doesn't know the header of a copy, and takes the request for an empty object."""
    far = generated(make, bucket)
    kept = outlines(bucket)
    monkeypatch.setattr(WholeObjects, "copy", lambda _, name, to: bucket.put({f"cars/{to}": b""}))
    with pytest.raises(StagingError, match="is incomplete.*the project keeps its name"):
        remove.rename(far.catalog, "far", "other")
    assert outlines(bucket) == kept
    assert far.problems() == []


def test_a_generated_car_of_a_store_is_released_and_its_project_deleted(make: Any, bucket: Store) -> None:
    far = generated(make, bucket)
    far.verify()
    [first, *_] = far.cars()
    release.release(far.catalog, [first], note="there", remove=True)
    assert outline_name(first.file_name) not in outlines(bucket)
    assert remove.delete(far.catalog, far.name, files=True, force=True).files
    assert outlines(bucket) == {}


def test_a_project_moves_to_a_store_only_with_its_outlines(make: Any, bucket: Store) -> None:
    here = make("far", **GENERATED)
    write(here.target, FILES)
    run(here)
    url = f"s3://{bucket.bucket}/cars"
    with pytest.raises(SettingsError, match="2 CARs of project 'far' are not in s3://"):
        change.change(here.catalog, "far", {"staging_dir": url})
    folder = here.staging / "outlines" / "far"
    bucket.put({f"cars/outlines/far/{one.name}": one.read_bytes() for one in folder.iterdir()})
    moved = change.change(here.catalog, "far", {"staging_dir": url})
    assert Scene(here.catalog, moved).problems() == []


def test_outlines_and_data_keys_are_kept_in_azure_too(make: Any, azure: Cloud, keyring: Keyring) -> None:
    place = azure.url.removesuffix("pre") + "cars"
    far = make("far", staging_dir=place, encryption=ALIAS, **GENERATED)
    write(far.target, FILES)
    run(far)
    renamed = Scene(far.catalog, remove.rename(far.catalog, "far", "other"))
    assert [verdict.problems for verdict in renamed.verify(source=True, again=True)] == [[]] * len(
        renamed.cars()
    )
    area = StoreArea(place, None, "")
    assert (area.outlines("far"), len(area.outlines("other"))) == ({}, len(renamed.cars()))
    assert area.look("manifests/other.keys.json")


def test_generated_cars_of_an_encrypted_project_are_verified_in_other_clouds(
    make: Any, writable_cloud: Cloud, keyring: Keyring
) -> None:
    far = make("far", staging_dir=f"{writable_cloud.url}/cars", encryption=ALIAS, **GENERATED)
    write(far.target, FILES)
    run(far)
    assert [verdict.problems for verdict in far.verify(source=True, again=True)] == [[]] * len(far.cars())
    area = StoreArea(far.project.staging_dir, None, "")
    assert len(area.outlines("far")) == len(far.cars())
    assert area.look("manifests/far.keys.json")


def test_a_store_without_conditional_requests_is_written_without_conditions(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = obstore.put

    def put(*given: Any, mode: Any, **more: Any) -> Any:
        if mode != "overwrite":
            raise RuntimeError("status code: 501 <Code>NotImplemented</Code>")
        return real(*given, mode=mode, **more)

    monkeypatch.setattr(obstore, "put", put)
    found = WholeObjects(f"s3://{bucket.bucket}/cars", None)
    for content in (b"1", b"2"):
        found.put("x", content, found.look("x"))
        assert objects(bucket, "cars/") == {"x": content}
