"""Any built CAR is opened and read alike, staged or generated, with nothing but plain values."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from ptolemy_core.car import BuiltCar
from ptolemy_core.errors import DeadCarError, OutlineError, SourceChangedError, StagingError
from ptolemy_core.reader import SeekableCar, verify_car
from ptolemy_core.staging.stored import OUTLINES, StoredCar
from tests.car import scene
from tests.car.generated import outlined
from tests.car.test_build_bytes import TREE


def stored(built: BuiltCar, staging: Path, source: Path, *, generated: bool) -> StoredCar:
    return StoredCar(
        project="alpha",
        number=3,
        file_name=built.file_name,
        payload_cid=built.payload_cid,
        piece_cid_v1=built.piece_cid_v1,
        piece_cid_v2=built.piece_cid_v2,
        car_size=built.car_size,
        piece_size=built.piece_size,
        built_at=1.0,
        generated=generated,
        staging_dir=str(staging),
        source=os.fsencode(source),
    )


@pytest.fixture
def both(tmp_path: Path) -> tuple[StoredCar, StoredCar]:
    """One CAR, staged and generated."""
    path = scene.write_tree(tmp_path / "tree", TREE)
    (tmp_path / OUTLINES).mkdir()
    built, _ = scene.build(path, tmp_path, scene.SMALL)
    made = outlined(path, tmp_path / OUTLINES)
    assert made.built.piece_cid_v2 == built.piece_cid_v2
    return tuple(
        stored(built, tmp_path, tmp_path / "tree", generated=generated) for generated in (False, True)
    )  # type: ignore[return-value]


def test_staged_and_generated_give_the_same_bytes_in_any_way(both: tuple[StoredCar, StoredCar]) -> None:
    whole = Path(both[0].path).read_bytes()
    for one in both:
        again = pickle.loads(pickle.dumps(one))
        with again.open() as car:
            assert car.size == len(whole)
            assert car.read(0, car.size) == whole
            assert b"".join(car.ranges(7, car.size - 9, 100)) == whole[7:-2]
            assert (car.fileno is None) == one.generated
            with pytest.raises(ValueError, match="not inside a CAR"):
                next(car.ranges(5, car.size))
        report = verify_car(again.open(), scene.SMALL)
        assert report.ok
        assert (report.piece_cid_v2, report.name) == (one.piece_cid_v2, one.file_name)
        with SeekableCar(again.open()) as seekable:
            assert seekable.header.roots == (one.payload_cid,)
            assert seekable.damage(seekable.start) is None


def test_a_dead_car_names_what_changed(both: tuple[StoredCar, StoredCar]) -> None:
    with pytest.raises(DeadCarError, match=r"CAR alpha/3 can't be read any more: a/b changed"):
        replace(both[1], dead="a/b changed").open()


def test_a_file_of_another_size_is_refused(both: tuple[StoredCar, StoredCar]) -> None:
    os.truncate(both[0].path, 100)
    with pytest.raises(StagingError, match="has 100 bytes"):
        both[0].open()


def test_another_cars_outline_is_refused(both: tuple[StoredCar, StoredCar], tmp_path: Path) -> None:
    other = outlined(scene.write_tree(tmp_path / "other", {b"x": b"y"}), tmp_path)
    os.replace(other.path, both[1].outline_path)
    with pytest.raises(OutlineError, match="outline of another CAR"):
        both[1].open()
    os.unlink(both[1].outline_path)
    with pytest.raises(OutlineError, match="can't be read"):
        both[1].open()


def test_a_changed_source_is_named_by_whatever_reads_the_car(
    both: tuple[StoredCar, StoredCar], tmp_path: Path
) -> None:
    name = next(
        path for path in sorted((tmp_path / "tree").rglob("*")) if path.is_file() and path.stat().st_size
    )
    os.utime(name, ns=(1, 1))
    with both[1].open() as car, pytest.raises(SourceChangedError, match=name.name):
        car.read(0, car.size)
    with pytest.raises(OSError, match=name.name):
        verify_car(both[1].open(), scene.SMALL)
