"""staging_dir as a URL: CARs appear whole in a store, the same as in a folder, or not at all."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from ptolemy_core.catalog import outage, stored_cars
from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError, SourceError, StagingError
from ptolemy_core.gateway.access import Access
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.restore.project import ProjectRestore
from ptolemy_core.source import store_errors
from ptolemy_core.source.refusals import unreadable
from ptolemy_core.stages import release, remove
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.staging.store_car import unreachable
from ptolemy_core.status.free_space import missing
from ptolemy_dagster.http import piece_server
from ptolemy_dagster.http.piece_app import PieceApp, PieceServer
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, put, run, write
from tests.remote.test_restore_to_store import objects
from tests.stages.conftest import PROFILE, Scene

CUT = """
import os, sys
from ptolemy_core.staging.store import StoreArea

def parts():
    for number in range(5):
        if number == 4:
            os.kill(os.getpid(), 9)
        yield bytes(16 << 20)

StoreArea(sys.argv[1], None, "").put("x.car", parts(), 80 << 20)
"""


def staged(make: Any, store: Store, name: str = "far", **settings: Any) -> Scene:
    scene: Scene = make(name, **({"staging_dir": f"s3://{store.bucket}/cars"} | settings))
    return scene


def in_store(store: Store) -> dict[str, bytes]:
    return {name: data for name, data in objects(store, "cars/").items() if name.endswith(".car")}


def uploads(store: Store) -> list[str]:
    listed = store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return [one["Key"] for one in listed]


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("PTOLEMY_HOME", str(tmp_path / "own"))


def test_cars_in_a_store_are_those_of_a_folder(make: Any, bucket: Store, tmp_path: Path) -> None:
    local, far = make("local"), staged(make, bucket)
    for scene in (local, far):
        write(scene.target, FILES)
        run(scene)
    expected = {row.file_name: (local.staging / row.file_name).read_bytes() for row in local.cars()}
    assert in_store(bucket) == expected
    assert [row.sha256 for row in far.cars()] == [row.sha256 for row in local.cars()]
    assert missing(far.catalog, far.project) == []
    assert far.problems() == []
    assert [verdict.known for verdict in far.verify(again=False)] == [True] * len(expected)
    assert not any(path.is_file() for path in (tmp_path / "own").rglob("*"))


def test_everything_can_be_read_back_from_the_store(make: Any, bucket: Store, tmp_path: Path) -> None:
    """By a restore, as a CAR, and from the piece server."""
    far = staged(make, bucket, public_pieces=True)
    write(far.target, FILES)
    run(far)
    restore = ProjectRestore(far.catalog, far.name, profile=PROFILE)
    assert restore.write(str(tmp_path / "back").encode()).ok
    assert {key: (tmp_path / "back" / key).read_bytes() for key in FILES} == FILES
    [row, *_] = far.cars()
    with stored_cars.of_row(far.project, row).open() as car:
        assert car.fileno is None
        whole = in_store(bucket)[row.file_name]
        assert b"".join(car.ranges(0, car.size)) == whole
        assert car.read(7, 50) == whole[7:57]
    server = PieceServer(Holdings(far.catalog, Library(), PROFILE), Access(()))
    try:
        http = TestClient(PieceApp(server), client=("203.0.113.5", 5000))
        url = f"/piece/{cid.to_text(row.piece_cid_v2)}"
        part = http.get(url, headers={"Range": "bytes=7-56"})
        assert (part.status_code, part.content) == (206, whole[7:57])
        assert part.headers["content-range"] == f"bytes 7-56/{len(whole)}"
        assert http.get(url).content == whole
    finally:
        server.close()
    root, _ = build_root(far.catalog, far.name, profile=PROFILE)
    assert in_store(bucket)[root.file_name][:1]
    written = write_manifest(far.catalog, far.name, ManifestOptions("csv"), profile=PROFILE)
    assert written.manifest.startswith(str(tmp_path / "own" / "staging" / far.name))


def test_a_car_from_a_bucket_goes_to_a_bucket_and_leaves_it_when_it_is_released(
    make: Any, bucket: Store
) -> None:
    put(bucket, FILES)
    far = staged(make, bucket, target_dir=f"s3://{bucket.bucket}/pre")
    run(far)
    assert in_store(bucket)
    assert far.problems() == []
    release.release(far.catalog, far.cars(), note="there", remove=True)
    assert in_store(bucket) == {}
    assert missing(far.catalog, far.project) == []


def test_a_project_is_deleted_with_its_cars_in_the_store(make: Any, bucket: Store) -> None:
    far = staged(make, bucket)
    write(far.target, FILES)
    run(far)
    assert remove.delete(far.catalog, far.name, files=True, force=True).files
    assert in_store(bucket) == {}


def test_a_piece_server_waits_half_a_minute_for_a_store_that_is_away(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: seen.append(store_errors.patience()))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(store_errors, "_default_patience", store_errors.patience())
    monkeypatch.setattr(outage, "_longest_patience", outage._longest_patience)
    monkeypatch.delenv(store_errors.PATIENCE_VARIABLE, raising=False)
    settings = piece_server.parse_settings(Access(()), log_file=None)
    catalog = make("far").catalog
    piece_server.serve_pieces(catalog, "127.0.0.1", 0, settings)
    monkeypatch.setenv(store_errors.PATIENCE_VARIABLE, "500")
    piece_server.serve_pieces(catalog, "127.0.0.1", 0, settings)
    assert seen == [30, 500]


def test_a_car_is_sent_again_only_where_another_object_has_its_name(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there as after a kill between its upload and its receipt; then it is replaced, to be read by nobody."""
    first, second = staged(make, bucket, "first"), staged(make, bucket, "second")
    for scene in (first, second):
        write(scene.target, FILES)
    [row, *_] = run(first)
    with monkeypatch.context() as unsent:
        unsent.setattr(StoreArea, "put", None)
        assert [one.file_name for one in run(second)] == [one.file_name for one in first.cars()]
    whole = in_store(bucket)[row.file_name]
    bucket.put({f"cars/{row.file_name}": whole[:-1]})
    assert [one.number for one in missing(first.catalog, first.project)] == [row.number]
    first.build(row.number, rebuild=True)
    assert in_store(bucket)[row.file_name] == whole
    with stored_cars.of_row(first.project, row).open() as car:
        bucket.put({f"cars/{row.file_name}": bytes(car.size)})
        with pytest.raises(
            StagingError, match=r"car changed, it was overwritten: see what .*ptolemy rebuild"
        ):
            car.read(0, 10)
        bucket.client.delete_object(Bucket=bucket.bucket, Key=f"cars/{row.file_name}")
        with pytest.raises(
            StagingError, match=r"car is missing .no such object.: see what .*ptolemy rebuild"
        ):
            car.read(0, 10)
        bucket.put({f"cars/{row.file_name}": bytes(car.size)})
    assert any("bad" in problem or row.file_name in problem for problem in first.problems())


def test_an_upload_that_was_killed_leaves_no_car_and_is_given_up_by_the_next(bucket: Store) -> None:
    url = f"s3://{bucket.bucket}/cars"
    assert subprocess.run([sys.executable, "-c", CUT, url], check=False).returncode == -9
    assert uploads(bucket) == ["cars/x.car"]
    assert in_store(bucket) == {}
    StoreArea(url, None, "").put("x.car", iter([b"12", b"3"]), 3)
    assert in_store(bucket) == {"x.car": b"123"}
    assert uploads(bucket) == []


def blitz_while_files_change(far: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file changes between the build of a CAR and its upload, which is refused."""
    write(far.target, FILES)
    far.scan()
    far.plan()
    real = StoreArea.put

    def change_first(area: StoreArea, name: str, parts: Iterator[bytes], size: int) -> None:
        for key in FILES:
            (far.target / key).write_bytes(b"other" + FILES[key])
        real(area, name, parts, size)

    monkeypatch.setattr(StoreArea, "put", change_first)
    with pytest.raises(SourceError, match="changed since the scan"):
        far.blitz()


def test_a_source_that_changes_before_it_is_sent_leaves_nothing(
    make: Any, bucket: Store, monkeypatch: Any
) -> None:
    far = staged(make, bucket, car_sha256=False)
    blitz_while_files_change(far, monkeypatch)
    assert in_store(bucket) == {}
    assert uploads(bucket) == []


def test_a_store_that_can_not_be_written_is_refused_at_once(make: Any, bucket: Store) -> None:
    with pytest.raises(SettingsError, match="staging_dir 's3://no-such-bucket/x' can't be written"):
        make("p", staging_dir="s3://no-such-bucket/x")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"staging_dir": "https://host/x"}, "can't be a https:// URL"),
        ({"staging_dir": "s3://b/x/y", "target_dir": "s3://b/x"}, "is inside target_dir"),
    ],
)
def test_what_can_not_be_staged_in_a_store_is_refused(make: Any, settings: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make("p", **settings)


def test_a_store_that_fails_is_said_to_and_not_to_be_made_readable() -> None:
    told = str(unreachable(unreadable("s3://b/cars/x.car", "the connection failed: try again")))
    assert told == (
        "staging_dir: s3://b/cars/x.car can't be read (the connection failed: try again): see that the store "
        "answers, then run this again"
    )
