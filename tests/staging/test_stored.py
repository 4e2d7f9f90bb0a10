"""Any built CAR is opened and read alike, staged or generated, with nothing but plain values."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from ptolemy_core.car import BuildOptions, BuiltCar
from ptolemy_core.dag import cid
from ptolemy_core.errors import (
    DeadCarError,
    OutlineError,
    SourceChangedError,
    StagingError,
    StagingFullError,
)
from ptolemy_core.layout import compute_layout
from ptolemy_core.reader import SeekableCar, verify_car
from ptolemy_core.staging.area import OUTLINES
from ptolemy_core.staging.build import Kept, build_car
from ptolemy_core.staging.outlines import rebuild_outline
from ptolemy_core.staging.stored import StoredCar
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
    (tmp_path / OUTLINES / "alpha").mkdir(parents=True)
    built, _ = scene.build(path, tmp_path, scene.SMALL)
    made = outlined(path, tmp_path / OUTLINES / "alpha")
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
    with pytest.raises(OutlineError, match=r"is missing: ptolemy rebuild alpha/3"):
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


def test_a_lost_outline_is_rebuilt_and_the_same(both: tuple[StoredCar, StoredCar], tmp_path: Path) -> None:
    path = Path(both[1].outline_path)
    before = path.read_bytes()
    path.unlink()
    again(both[1], tmp_path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_no_outline_is_rebuilt_from_other_bytes(both: tuple[StoredCar, StoredCar], tmp_path: Path) -> None:
    path, big = Path(both[1].outline_path), tmp_path / "tree" / "big"
    path.unlink()
    old = big.stat()
    big.write_bytes(bytes(old.st_size))
    os.utime(big, ns=(old.st_atime_ns, old.st_mtime_ns))
    with pytest.raises(SourceChangedError, match=f"not {cid.to_text(both[1].payload_cid)}"):
        again(both[1], tmp_path)
    items, _ = scene.whole(os.fsencode(tmp_path / "tree"))
    known = {items.paths.index(b"big"): cid.of_digest(cid.RAW, bytes(32))}
    with pytest.raises(SourceChangedError, match="big") as caught:
        again(both[1], tmp_path, known)
    assert caught.value.other_content == tuple(known)
    assert os.listdir(path.parent) == []


def again(one: StoredCar, folder: Path, cids: dict[int, bytes] | None = None) -> None:
    """Rebuild the outline of a CAR of the tree in a folder."""
    items, inputs = scene.whole(os.fsencode(folder / "tree"))
    layout = compute_layout(items, scene.SMALL)
    rebuild_outline(one, layout, inputs, BuildOptions(unit=1016), cids=cids or {}, profile=scene.SMALL)


def test_a_build_may_keep_the_outline_beside_the_car(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    items, inputs = scene.whole(path)
    staging = tmp_path / "staging"
    staging.mkdir()
    layout = compute_layout(items, scene.SMALL)
    named: list[str] = []
    replace_file = os.replace

    def replaced(old: str, new: str) -> None:
        named.append(os.path.basename(new))
        replace_file(old, new)

    monkeypatch.setattr(os, "replace", replaced)
    kept = Kept(outline=True, project="alpha", profile=scene.SMALL)
    built = build_car(layout, inputs, str(staging), ".x.part", BuildOptions(unit=1016), kept=kept)
    outline = built.file_name.replace(".car", ".outline")
    assert named == [outline, built.file_name]  # the outline first
    assert sorted(os.listdir(staging)) == [built.file_name, OUTLINES]
    assert os.listdir(staging / OUTLINES / "alpha") == [outline]
    staged = stored(built, staging, tmp_path / "tree", generated=False)
    with staged.open() as file, replace(staged, generated=True).open() as generated:
        assert file.read(0, file.size) == generated.read(0, file.size)


def test_no_car_gets_its_name_if_its_outline_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, inputs = scene.whole(scene.write_tree(tmp_path / "tree", TREE))
    staging = tmp_path / "staging"
    staging.mkdir()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptolemy_core.car.outlined.write_outline_to", full)
    with pytest.raises(StagingFullError, match="is full"):
        build_car(
            compute_layout(items, scene.SMALL),
            inputs,
            str(staging),
            ".x.part",
            BuildOptions(unit=1016),
            kept=Kept(outline=True, project="alpha", profile=scene.SMALL),
        )
    assert os.listdir(staging) == [OUTLINES]
    assert os.listdir(staging / OUTLINES / "alpha") == []
