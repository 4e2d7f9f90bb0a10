"""`restore --to s3://...`: objects that are whole and right, or not there."""

from typing import Any

import pytest

from ptolemy_core.catalog.views import Entries, View
from ptolemy_core.errors import SettingsError
from ptolemy_core.restore.project import Writing, load
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.target import TargetError
from ptolemy_core.restore.to_store import StoreTarget, work_to_store
from ptolemy_core.urls import parse
from tests.remote import conftest
from tests.remote.proxy import Proxy
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, run, write
from tests.stages.conftest import PROFILE, Scene


def restore(scene: Scene, url: str, *, replace: bool = False, batch: int = 3000) -> Report:
    view = View(scene.name, None, ())
    job = load(scene.catalog, view, profile=PROFILE)
    target = StoreTarget(parse(url), batch=batch)
    return work_to_store(job, Entries(scene.catalog, view), target, Writing(replace))


def objects(store: Store, prefix: str = "back/") -> dict[str, bytes]:
    listed = store.client.list_objects_v2(Bucket=store.bucket, Prefix=prefix).get("Contents", [])
    return {
        one["Key"].removeprefix(prefix): store.client.get_object(Bucket=store.bucket, Key=one["Key"])[
            "Body"
        ].read()
        for one in listed
    }


@pytest.fixture
def built(make: Any) -> Scene:
    scene: Scene = make("local")
    write(scene.target, FILES)
    run(scene)
    return scene


def test_a_store_has_every_file_after_a_restore_and_keeps_what_is_right(built: Scene, store: Store) -> None:
    url = f"s3://{store.bucket}/back"
    first = restore(built, url)
    assert first.ok
    assert (first.files, first.written_bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert objects(store) == FILES
    again = restore(built, url)
    assert (again.files, again.kept) == (0, len(FILES))


def test_another_object_is_replaced_only_where_that_is_asked_for(built: Scene, bucket: Store) -> None:
    bucket.put({"back/z": b"mine", "back/other": b"stays"})
    url = f"s3://{bucket.bucket}/back"
    kept = restore(built, url)
    assert kept.problems == [("z", "another object is there: --overwrite replaces it")]
    assert objects(bucket)["z"] == b"mine"
    assert restore(built, url, replace=True).ok
    assert objects(bucket) == {**FILES, "other": b"stays"}


def test_links_and_empty_folders_are_named_as_what_a_store_cant_hold(make: Any, bucket: Store) -> None:
    scene = make("odd")
    write(scene.target, {"f": b"1"})
    (scene.target / "link").symlink_to("f")
    (scene.target / "empty").mkdir()
    run(scene)
    report = restore(scene, f"s3://{bucket.bucket}/back")
    assert {path for path, _ in report.problems} == {"link", "empty"}
    assert objects(bucket) == {"f": b"1"}


def test_a_file_whose_car_is_damaged_is_never_in_the_store(built: Scene, bucket: Store) -> None:
    for row in built.cars():
        place = built.staging / row.file_name
        place.write_bytes(place.read_bytes().replace(b"last", b"LAST"))
    report = restore(built, f"s3://{bucket.bucket}/back")
    assert [path for path, _ in report.problems] == ["z"]
    assert objects(bucket) == {key: data for key, data in FILES.items() if key != "z"}


def test_a_store_that_fails_now_and_then_gets_every_file(
    built: Scene, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with Proxy(bucket, disturbances=10, seed=5) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        assert restore(built, f"s3://{bucket.bucket}/back").ok
        assert proxy.disturbances < 10
    assert objects(bucket) == FILES


def test_a_bucket_that_isnt_there_and_urls_that_are_read_only_are_refused(
    built: Scene, bucket: Store
) -> None:
    with pytest.raises(TargetError, match="s3://no-such-bucket can't be written"):
        restore(built, "s3://no-such-bucket")
    with pytest.raises(SettingsError, match="nothing can be written to https://"):
        restore(built, "https://host/list.csv")
