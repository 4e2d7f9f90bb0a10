"""A generated CAR is the staged one, byte for byte, however it is read; no byte of a changed source gets out."""

import itertools
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core import kernel
from ptolemy_core.car import outline as outlines
from ptolemy_core.car import outline_file
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.reading import CarBytes
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SourceChangedError, SourceError, StagingError
from ptolemy_core.layout import Block, compute_layout
from ptolemy_core.staging.build import build_car
from ptolemy_core.staging.car import StagedCar
from ptolemy_core.tree import Kind
from tests.dag import oracle
from tests.dag.trees import contents, folders

from . import scene
from .generated import Outlined, outlined
from .test_build_bytes import PROFILES, TREE, cut


@pytest.fixture(params=["usual pages", "small pages"])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and windows as they are, and so small that a tiny CAR has many."""
    if request.param == "small pages":
        shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outline_file, "_ROWS", 3)
    patch.setattr(outline_file, "_BLOCKS", 5)
    patch.setattr(outlines, "WINDOW", 100)


@pytest.mark.parametrize("most", [3000, 10_000])
def test_readers_that_begin_anywhere_soon_read_the_same_steps(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    tree = {b"big": random.Random(1).randbytes(50_000)}
    tree |= {b"%03d" % number: b"x" * (number % 90) for number in range(400)}
    with outlined(scene.write_tree(str(tmp_path / "tree"), tree), tmp_path).open() as car:

        def steps(offset: int) -> Iterator[int]:
            while offset < car.size:
                step = car.step(offset, most)
                assert 0 < step <= most
                offset = min(offset + step, car.size)
                yield offset

        of_whole = set(steps(0))
        for offset in range(1, car.size, 4999):
            assert of_whole & set(itertools.islice(steps(offset), 4)), offset


@given(contents(), PROFILES, st.booleans(), st.data())
@settings(deadline=None, max_examples=80)
def test_any_range_of_any_tree_is_the_oracles(
    content: oracle.Content, profile: Profile, small: bool, data: st.DataObject
) -> None:
    expected = oracle.car(oracle.dag(content, scene.sizes(profile)))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if small:
            shrink(patch)
        made = outlined(scene.write_tree(folder + "/tree", content), folder, profile)
        with made.open() as car:
            assert car.size == len(expected)
            assert car.read(0, car.size) == expected
            for _ in range(8):
                low = data.draw(st.integers(0, car.size))
                high = data.draw(st.integers(low, car.size))
                assert car.read(low, high - low) == expected[low:high]


@given(folders(), PROFILES, st.data())
@settings(deadline=None, max_examples=40)
def test_shards_are_generated_from_their_part_of_the_file(
    content: oracle.Content, profile: Profile, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        items, inputs = scene.whole(scene.write_tree(folder + "/tree", content))
        sizes = dict(zip(items.paths, items.sizes.tolist(), strict=True))
        files = [p for p, kind in zip(items.paths, items.kinds, strict=True) if kind == Kind.FILE]
        chosen = data.draw(st.sets(st.sampled_from(files))) if files else set()
        shards = {name: cut(sizes[name], profile.size_unit) for name in chosen}
        split = scene.with_shards(items, inputs, shards)
        built = build_car(compute_layout(split[0], profile), split[1], folder, ".part", BuildOptions(2, 1016))
        made = outlined(split, folder, profile)
        with made.open() as car:
            assert car.read(0, car.size) == Path(folder, built.file_name).read_bytes()


@pytest.mark.usefixtures("pages")
def test_every_range_of_a_small_car(tmp_path: Path) -> None:
    content: oracle.Content = {b"a": bytes(range(50)), b"b": {b"c": b"", b"d": oracle.Link(b"e")}}
    expected = oracle.car(oracle.dag(content, scene.sizes(scene.SMALL)))
    made = outlined(scene.write_tree(tmp_path / "tree", content), tmp_path)
    with made.open() as car:
        for low in range(0, len(expected), 11):
            for high in range(low, len(expected) + 1, 17):
                assert car.read(low, high - low) == expected[low:high]
        assert b"".join(car.read(at, 1) for at in range(car.size)) == expected


@pytest.mark.usefixtures("pages")
def test_receipt_is_that_of_the_staged_build(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    (tmp_path / "staging").mkdir()
    (tmp_path / "outlines").mkdir()
    staged, _ = scene.build(path, tmp_path / "staging", scene.SMALL)
    made = outlined(path, tmp_path / "outlines", sha256=True)
    assert made.built == staged
    assert [entry.name for entry in (tmp_path / "outlines").iterdir()] == [
        staged.file_name.replace(".car", ".outline")
    ]


def test_a_generated_and_a_staged_car_are_read_alike(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    staged, _ = scene.build(path, tmp_path, scene.SMALL)
    made = outlined(path, tmp_path)

    def parts(car: CarBytes) -> list[bytes]:
        out = [car.read(at, min(777, car.size - at)) for at in range(0, car.size, 777)]
        for offset, length in ((-1, 1), (car.size, 1), (0, -1), (5, car.size)):
            with pytest.raises(ValueError, match=f"not inside a CAR of {car.size} bytes"):
                car.read(offset, length)
        return out

    with made.open() as generated, StagedCar(str(tmp_path / staged.file_name)) as file:
        assert parts(generated) == parts(file)


def test_a_staged_car_that_is_cut_off_or_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.car"
    path.write_bytes(bytes(100))
    with StagedCar(str(path)) as car:
        os.truncate(path, 60)
        assert car.read(0, 60) == bytes(60)
        with pytest.raises(StagingError, match=r"x\.car ends at 60 bytes, it had 100"):
            car.read(50, 20)
    with pytest.raises(StagingError, match=r"y\.car can't be read \(No such file"):
        StagedCar(str(tmp_path / "y.car"))


@pytest.mark.usefixtures("pages")
def test_many_threads_read_random_ranges(tmp_path: Path) -> None:
    path = scene.write_tree(tmp_path / "tree", TREE)
    expected = oracle.car(oracle.dag(TREE, scene.sizes(scene.SMALL)))
    made = outlined(path, tmp_path)
    with made.open(cache=3000) as car, ThreadPoolExecutor(8) as pool:

        def some(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(25):
                low = chance.randrange(car.size)
                high = min(car.size, low + chance.choice([1, 50, 900, 20_000]))
                assert car.read(low, high - low) == expected[low:high]

        list(pool.map(some, range(16)))


def test_leaves_of_one_mebibyte_under_the_profile_of_users(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    chance = random.Random(5)
    (tree / "big").write_bytes(chance.randbytes((18 << 20) + 123))
    (tree / "exact").write_bytes(chance.randbytes(1 << 20))
    (tree / "small").write_bytes(chance.randbytes(5))
    built, _ = scene.build(bytes(tree), tmp_path)
    expected = (tmp_path / built.file_name).read_bytes()
    made = outlined(bytes(tree), tmp_path, UNIXFS_V1_2025, unit=127 << 17)
    with made.open() as car:
        assert car.read(0, car.size) == expected
        for size in (4 << 20, 65_521, 1 << 20):
            joined = b"".join(car.read(at, min(size, car.size - at)) for at in range(0, car.size, size))
            assert joined == expected


class Counting:
    """Counts the bytes that are hashed as leaves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self._lock = threading.Lock()
        self._hash = kernel.sha256_ranges
        patch.setattr("ptolemy_core.car.generate.kernel.sha256_ranges", self)

    def __call__(self, buffer: Any, offsets: Any, lengths: Any) -> Any:
        with self._lock:
            self.bytes += int(lengths.sum())
        return self._hash(buffer, offsets, lengths)


@pytest.mark.parametrize("step", [13, 100, 1000, 5000])
def test_a_sequential_reader_has_no_leaf_hashed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    shrink(monkeypatch)
    made = outlined(scene.write_tree(tmp_path / "tree", TREE), tmp_path)
    counting = Counting(monkeypatch)
    with made.open(cache=1) as car:
        for at in range(0, car.size, step):
            car.read(at, min(step, car.size - at))
    assert counting.bytes == made.inputs.items.data_bytes


def test_readers_of_one_range_at_once_have_it_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", TREE), tmp_path)
    counting = Counting(monkeypatch)
    with made.open() as car, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: car.read(100, 5000), range(24)))
        once = counting.bytes
        car.read(100, 5000)
    with made.open() as car:
        car.read(100, 5000)
    assert counting.bytes == 2 * once


CHANGES = {
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "truncated": lambda path: os.truncate(path, 3),
    "touched": lambda path: os.utime(path, ns=(0, 1)),
    "vanished": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link": lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
    "other bytes": lambda path: restoring(path, lambda: path.write_bytes(path.read_bytes()[::-1])),
    "replaced": lambda path: restoring(
        path, lambda: (path.rename(path.with_name("z")), path.write_bytes(bytes(path.with_name("z").stat().st_size)))
    ),
}  # fmt: skip


def restoring(path: Path, change: Any) -> None:
    """Change a file and set its old modification time."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["small", "large"])
def test_a_changed_file_is_named_and_no_byte_of_it_is_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, name: str
) -> None:
    shrink(monkeypatch)
    content: dict[bytes, oracle.Content] = {
        b"a": b"before",
        b"small": bytes(range(1, 9)),
        b"large": bytes(range(1, 200)),
        b"z1": b"after",
    }
    expected = oracle.car(oracle.dag(content, scene.sizes(scene.SMALL)))
    made = outlined(scene.write_tree(tmp_path / "tree", content), tmp_path)
    item = made.inputs.items.paths.index(name.encode())
    place = tmp_path / "tree" / name
    with made.open() as car:
        CHANGES[change](place)
        buffer = bytearray(car.size)
        with pytest.raises(SourceChangedError, match=f"tree/{name} ") as caught:
            car.read_into(0, memoryview(buffer))
        assert caught.value.item == item
        assert all(byte in (0, expected[at]) for at, byte in enumerate(buffer))
        own = {at for low, high in leaves_of(made, item) for at in range(low, high)}
        for at in range(0, car.size, 3):
            if at in own:
                with pytest.raises(SourceError, match=f"tree/{name} "):
                    car.read(at, 1)
            else:
                assert car.read(at, 1) == expected[at : at + 1]


def leaves_of(made: Outlined, item: int) -> list[tuple[int, int]]:
    """Where the sections of an item's leaves are in the CAR."""
    layout = made.layout
    blocks = np.flatnonzero((layout.item == item) & (layout.kind == Block.LEAF)).tolist()
    return [(int(layout.offset[k]), layout.data_offset(k) + int(layout.size[k])) for k in blocks]


def test_bytes_changed_behind_a_restored_time_are_told_from_a_damaged_outline(tmp_path: Path) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", TREE), tmp_path)
    with made.open() as car:
        CHANGES["other bytes"](tmp_path / "tree" / "a" / "003")  # all bytes alike: the same backwards
        car.read(0, car.size)
        CHANGES["other bytes"](tmp_path / "tree" / "big")
        with pytest.raises(
            SourceChangedError, match="tree/big changed since the scan, other bytes than its CAR"
        ):
            car.read(0, car.size)


def test_a_file_that_comes_back_is_served_again(tmp_path: Path) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", {b"a": b"first", b"b": b"second"}), tmp_path)
    place = tmp_path / "tree" / "a"
    with made.open() as car:
        place.rename(tmp_path / "away")
        with pytest.raises(SourceChangedError, match="tree/a is missing"):
            car.read(0, car.size)
        (tmp_path / "away").rename(place)
        place.chmod(0o600)  # a new state of the file, the same bytes
        expected = oracle.car(oracle.dag({b"a": b"first", b"b": b"second"}, scene.sizes(scene.SMALL)))
        assert car.read(0, car.size) == expected


def test_links_and_folders_come_from_the_outline_alone(tmp_path: Path) -> None:
    content: oracle.Content = {b"empty": {}, b"link": oracle.Link(b"target")}
    made = outlined(scene.write_tree(tmp_path / "tree", content), tmp_path)
    (tmp_path / "tree" / "link").unlink()
    with made.open() as car:
        assert car.read(0, car.size) == oracle.car(oracle.dag(content, scene.sizes(scene.SMALL)))
