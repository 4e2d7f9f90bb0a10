"""CARs that are generated from a bucket: nothing is staged, and every byte is read from the store again."""

from typing import Any

import pytest

from ptolemy_core.catalog import stored_cars
from ptolemy_core.errors import SourceError
from ptolemy_core.keys import Keyring
from ptolemy_core.restore.project import ProjectRestore
from tests.encrypted.conftest import ALIAS, keyring
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, delete, put, remote, run, write
from tests.stages.conftest import PROFILE

__all__ = ["keyring"]


def test_a_generated_car_of_a_bucket_is_the_staged_one_of_the_folder(
    make: Any, bucket: Store, tmp_path: Any
) -> None:
    put(bucket, FILES)
    local, far = make("local"), remote(make, bucket, car_storage="generated")
    write(local.target, FILES)
    for scene in (local, far):
        run(scene)
    assert not any(name.endswith(".car") for name in far.in_staging())
    for ours, theirs in zip(far.cars(), local.cars(), strict=True):
        staged = (local.staging / theirs.file_name).read_bytes()
        with stored_cars.of_row(far.project, ours).open() as car:
            assert car.read(0, car.size) == staged
    assert far.problems() == []
    restore = ProjectRestore(far.catalog, far.name, profile=PROFILE)
    assert restore.write(str(tmp_path / "back").encode()).ok
    back = tmp_path / "back"
    assert {key: (back / key).read_bytes() for key in FILES} == FILES


def test_a_generated_range_of_an_overwritten_object_is_refused_by_name(make: Any, bucket: Store) -> None:
    put(bucket, FILES)
    far = remote(make, bucket, car_storage="generated")
    run(far)
    put(bucket, {"z": b"LAST"})
    [row] = [row for row in far.cars() if row.number == far.cars()[-1].number]
    with (
        stored_cars.of_row(far.project, row).open() as car,
        pytest.raises(SourceError, match="pre/z"),
    ):
        car.read(0, car.size)


def test_a_scan_says_which_generated_cars_died_with_their_objects(make: Any, bucket: Store) -> None:
    put(bucket, FILES)
    far = remote(make, bucket, car_storage="generated")
    run(far)
    delete(bucket, "z")
    assert [row.number for row in far.scan().dead] == [far.cars()[-1].number]


def test_restored_files_have_the_time_of_their_objects(make: Any, bucket: Store, tmp_path: Any) -> None:
    put(bucket, {"a": b"1"})
    far = remote(make, bucket)
    run(far)
    modified = bucket.client.head_object(Bucket=bucket.bucket, Key="pre/a")["LastModified"]
    assert ProjectRestore(far.catalog, far.name, profile=PROFILE).write(str(tmp_path / "back").encode()).ok
    assert int((tmp_path / "back" / "a").stat().st_mtime) == int(modified.timestamp())


def test_an_encrypted_car_of_a_bucket_opens_with_its_key(
    make: Any, bucket: Store, keyring: Keyring, tmp_path: Any
) -> None:
    put(bucket, FILES)
    far = remote(make, bucket, encryption=ALIAS)
    run(far)
    assert [verdict.problems for verdict in far.verify(source=True)] == [[]] * len(far.cars())
    restore = ProjectRestore(far.catalog, far.name, profile=PROFILE)
    assert restore.write(str(tmp_path / "back").encode()).ok
    back = tmp_path / "back"
    assert {key: (back / key).read_bytes() for key in FILES} == FILES
