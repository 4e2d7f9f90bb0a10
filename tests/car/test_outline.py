"""Outlines as files: whole or not there, small, quick to open, and no damage goes unseen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.car import outline_file
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outline_file import HEADER_SIZE, VERSION, write_outline
from ptolemy_core.car.outlined import outline_car
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.errors import OutlineError, SourceChangedError
from ptolemy_core.layout import Items, ItemsBuilder, compute_layout
from ptolemy_core.source import Inputs, PosixSource, Stamps
from ptolemy_core.tree import Kind
from tests.dag import oracle

from . import scene
from .generated import outlined
from .test_build_bytes import TREE

CONTENT: oracle.Content = {b"a": b"x" * 30, b"b": {b"c": b"", b"d": oracle.Link(b"e")}, b"e": b"y"}


def pretended(items: Items) -> Inputs:
    """Inputs of files that aren't there, with modification times as files have them."""
    chance = np.random.default_rng(7)
    tokens = 1_700_000_000_000_000_000 + chance.integers(0, 10**15, len(items))
    return Inputs(PosixSource(b"/nowhere"), items, Stamps(items.sizes, tokens), {})


def outline_of(items: Items, path: Path) -> int:
    """Write the outline of files that aren't there; its size."""
    layout = compute_layout(items)
    digests = np.random.default_rng(8).integers(0, 256, (len(layout), 32), dtype=np.uint8)
    write_outline(str(path), layout, pretended(items), digests)
    return path.stat().st_size


def test_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", CONTENT), tmp_path)
    path = Path(made.path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0x41,)) + whole[at + 1 :])
        with pytest.raises(OutlineError, match=r"outline|version"), made.open() as car:
            car.read(0, car.size)
    path.write_bytes(whole)
    with made.open() as car:
        car.read(0, car.size)


def test_a_cut_off_or_longer_outline_is_refused(tmp_path: Path) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", CONTENT), tmp_path)
    path = Path(made.path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(OutlineError):
            Outline(str(path))
    path.write_bytes(whole + b"\0")
    with pytest.raises(OutlineError, match=f"has {len(whole) + 1} bytes, {len(whole)} were written: rebuild"):
        Outline(str(path))


def test_an_outline_cut_off_while_it_is_open_is_an_error_and_no_crash(tmp_path: Path) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", CONTENT), tmp_path)
    with made.open() as car:
        os.truncate(made.path, HEADER_SIZE + 10)
        with pytest.raises(OutlineError, match="can't be read"):
            car.read(100, 50)


def test_a_foreign_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = scene.write_tree(tmp_path / "tree", CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(outline_file, "VERSION", VERSION + 1)
        made = outlined(tree, tmp_path)
    with pytest.raises(
        OutlineError, match=f"outline of version {VERSION + 1}, this Ptolemy reads version {VERSION}"
    ):
        Outline(made.path)


def test_what_is_no_outline_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.outline"
    for content in (b"", b"hello", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(OutlineError, match=r"x\.outline isn't an outline"):
            Outline(str(path))
    with pytest.raises(OutlineError, match=r"y\.outline can't be read \(No such file or directory\)"):
        Outline(str(tmp_path / "y.outline"))
    with pytest.raises(OutlineError, match="can't be read"):
        Outline(str(tmp_path))


def test_digests_of_another_build_are_refused_by_the_nodes_above_them(tmp_path: Path) -> None:
    """An outline whose checksums fit, but whose content isn't one CAR's."""
    made = outlined(scene.write_tree(tmp_path / "tree", CONTENT), tmp_path)
    digests = np.zeros((len(made.layout), 32), dtype=np.uint8)
    write_outline(made.path, made.layout, made.inputs, digests, scene.SMALL)
    with made.open() as car, pytest.raises(OutlineError, match=r"block 0 .* another CID"):
        car.read(60, 1)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = outlined(scene.write_tree(tmp_path / "tree", CONTENT), tmp_path / "..")
    before = Path(made.path).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    digests = np.zeros((len(made.layout), 32), dtype=np.uint8)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_outline(made.path, made.layout, made.inputs, digests, scene.SMALL)
    assert Path(made.path).read_bytes() == before
    Path(made.path).unlink()


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    items, inputs = scene.whole(scene.write_tree(tree, TREE))
    (tree / "big").write_bytes(b"changed")
    folder = tmp_path / "outlines"
    folder.mkdir()
    with pytest.raises(SourceChangedError, match="tree/big"):
        outline_car(compute_layout(items, scene.SMALL), inputs, str(folder), profile=scene.SMALL)
    assert list(folder.iterdir()) == []


def test_files_of_one_mebibyte_take_64_bytes_a_leaf(tmp_path: Path) -> None:
    for size in (1 << 20, (1 << 20) + 5000, 100 << 20, 1 << 30):
        count = min(4000, (20 << 30) // size)
        builder = ItemsBuilder()
        for k in range(count):
            builder.add(b"archive\x00day-%03d\x00scan_%06d.tif" % (k // 100, k), Kind.FILE, size)
        taken = outline_of(builder.build(), tmp_path / "x")
        leaves = count * -(-size // UNIXFS_V1_2025.chunk)
        assert taken <= 64 * leaves + 1024


@pytest.mark.parametrize("per_folder", [100, 20_000])
def test_small_files_take_160_bytes(tmp_path: Path, per_folder: int) -> None:
    """Also where a folder is so large that it is a HAMT, with names that don't compress."""
    chance = np.random.default_rng(9)
    sizes = chance.integers(1, 8192, 20_000).tolist()
    names = sorted(
        b"%03d\x00%s.json" % (k // per_folder, chance.bytes(16).hex().encode()) for k in range(20_000)
    )
    builder = ItemsBuilder()
    for name, size in zip(names, sizes, strict=True):
        builder.add(name, Kind.FILE, size)
    assert outline_of(builder.build(), tmp_path / "x") <= 160 * 20_000


def test_opening_reads_the_header_and_the_index_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = ItemsBuilder()
    for k in range(20_000):
        builder.add(b"%03d\x00%05d" % (k // 100, k), Kind.FILE, 4096)
    size = outline_of(builder.build(), tmp_path / "x")
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        data = pread(descriptor, length, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    with GeneratedCar(Outline(str(tmp_path / "x")), PosixSource(b"/nowhere")) as car:
        assert car.size > 20_000 * 4096
        assert sum(read) < size // 200
        with pytest.raises(OutlineError, match="block 0 "):  # the digests are made up
            car.read(0, 70)
        assert sum(read) < size // 10


MEMORY = """
import json, resource, sys
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.outline import Outline
from ptolemy_core.source import PosixSource

def peak():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))

before = peak()
with GeneratedCar(Outline(sys.argv[1]), PosixSource(sys.argv[2].encode()), cache=4 << 20) as car:
    buffer = memoryview(bytearray(1 << 20))
    for at in range(0, car.size, len(buffer)):
        car.read_into(at, buffer[:min(len(buffer), car.size - at)])
print(json.dumps([before, peak()]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is Linux's")
def test_memory_does_not_grow_with_the_car(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "big").open("wb") as file:
        file.truncate(200 << 20)
    for k in range(3000):
        (tree / f"{k:05}").write_bytes(bytes(4096))
    items, inputs = scene.whole(bytes(tree))
    built = outline_car(compute_layout(items), inputs, str(tmp_path), BuildOptions(threads=2))
    path = tmp_path / built.file_name.replace(".car", ".outline")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), str(tree)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    before, after = json.loads(done.stdout)
    assert after - before < 40 << 20
