"""staging_dir at Google and Azure: CARs appear whole, the same as in a folder, or not at all."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.errors import SettingsError, StagingError
from ptolemy_core.restore.project import ProjectRestore
from ptolemy_core.stages import release
from ptolemy_core.staging.store import StoreArea, StoreCar
from ptolemy_core.status.free_space import missing
from tests.remote.clouds import Cloud
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, run, write
from tests.remote.test_staged_in_store import CUT, blitz_while_files_change, own_home
from tests.stages.conftest import PROFILE

__all__ = ["own_home"]

_PART = 16 << 20


def cars_in(cloud: Cloud) -> dict[str, bytes]:
    return {name: data for name, data in cloud.objects("cars").items() if name.endswith(".car")}


def test_a_project_is_staged_verified_restored_and_released(
    make: Any, writable_cloud: Cloud, tmp_path: Path
) -> None:
    """From a bucket to a bucket, with the CARs that a folder gives."""
    writable_cloud.put_all(FILES)
    local = make("local")
    far = make("far", target_dir=writable_cloud.url, staging_dir=f"{writable_cloud.root}/cars")
    write(local.target, FILES)
    for scene in (local, far):
        run(scene)
    expected = {row.file_name: (local.staging / row.file_name).read_bytes() for row in local.cars()}
    assert cars_in(writable_cloud) == expected
    assert [row.sha256 for row in far.cars()] == [row.sha256 for row in local.cars()]
    assert missing(far.catalog, far.project) == []
    assert far.problems() == []
    assert [verdict.known for verdict in far.verify(again=False)] == [True] * len(expected)
    assert ProjectRestore(far.catalog, far.name, profile=PROFILE).write(str(tmp_path / "back").encode()).ok
    assert {key: (tmp_path / "back" / key).read_bytes() for key in FILES} == FILES
    assert not any(path.is_file() for path in (tmp_path / "own").rglob("*"))
    [row, *_] = far.cars()
    writable_cloud.put(f"cars/{row.file_name}", expected[row.file_name][:-1])
    assert [one.number for one in missing(far.catalog, far.project)] == [row.number]
    far.build(row.number, rebuild=True)
    assert cars_in(writable_cloud) == expected
    far.verify()
    release.release(far.catalog, far.cars(), note="there", remove=True)
    assert cars_in(writable_cloud) == {}


def test_a_source_that_changes_before_it_is_sent_leaves_nothing(
    make: Any, writable_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make("far", staging_dir=f"{writable_cloud.root}/cars")
    blitz_while_files_change(far, monkeypatch)
    assert cars_in(writable_cloud) == {}


def test_an_upload_in_parts_is_whole_or_not_there(writable_cloud: Cloud) -> None:
    """It fails midway, its process is killed midway, and then it succeeds."""
    url = f"{writable_cloud.root}/cars"
    area = StoreArea(url, None, "")
    data = random.Random(1).randbytes(2 * _PART + 7)
    parts = [data[at : at + _PART] for at in range(0, len(data), _PART)]

    def cut() -> Iterator[bytes]:
        yield from parts[:2]
        raise StagingError("cut")

    with pytest.raises(StagingError, match="cut"):
        area.put("x.car", cut(), len(data))
    assert cars_in(writable_cloud) == {}
    assert subprocess.run([sys.executable, "-c", CUT, url], check=False).returncode == -9
    assert cars_in(writable_cloud) == {}
    area.put("x.car", iter(parts), len(data))
    assert cars_in(writable_cloud) == {"x.car": data}


def test_a_car_that_was_replaced_is_not_read_on(make: Any, writable_cloud: Cloud) -> None:
    area = StoreArea(f"{writable_cloud.root}/cars", None, "")
    writable_cloud.put("cars/x.car", b"1234")
    with StoreCar(area, "x.car") as car:
        assert car.read(1, 2) == b"23"
        writable_cloud.put("cars/x.car", b"5678")
        with pytest.raises(StagingError, match="it was overwritten"):
            car.read(0, 4)


def test_a_store_that_can_not_be_written_is_refused_at_once(make: Any, writable_cloud: Cloud) -> None:
    elsewhere = writable_cloud.root.partition("://")[0] + "://no-such-bucket/x"
    with pytest.raises(SettingsError, match=f"staging_dir '{elsewhere}' can't be written"):
        make("p", staging_dir=elsewhere)


def test_the_next_upload_gives_up_what_a_killed_one_left_at_google(google_xml: Cloud, moto: Store) -> None:
    url, bucket = f"{google_xml.root}/cars", google_xml.root.removeprefix("gs://")
    assert subprocess.run([sys.executable, "-c", CUT, url], check=False).returncode == -9
    left = moto.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [one["Key"] for one in left] == ["cars/x.car"]
    StoreArea(url, None, "").put("x.car", iter([b"12", b"3"]), 3)
    assert cars_in(google_xml) == {"x.car": b"123"}
    assert "Uploads" not in moto.client.list_multipart_uploads(Bucket=bucket)
