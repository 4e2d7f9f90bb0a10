"""What a CAR describes is measured before it is walked: nothing of a few KB runs for hours or fills a disk."""

import os
from pathlib import Path

import pytest

from ptolemy_core.restore import Extraction, LimitError, Limits, measure, open_folders
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.measure import Measure
from ptolemy_core.restore.naming import Naming
from ptolemy_core.restore.path import ROOT, path_of
from ptolemy_core.restore.target import Target, TargetError
from ptolemy_core.restore.walk import Tree, Wanted
from tests.cli.commands import error_of
from tests.reader.encoder import (
    Dag,
    car,
    directory,
    file_node,
    header,
    leaf,
    plain_directory,
    section,
    shard,
    write,
)

from .trees import extract, read_tree


def once(dag: Dag) -> Dag:
    """The same DAG, each block kept once: so that trees can be made that repeat without end."""
    return Dag(tuple(dict(dag.blocks).items()), dag.size)


def bomb(levels: int) -> Dag:
    """Folders that hold the one below twice."""
    dag = plain_directory([(b"a", leaf(b"x")), (b"b", leaf(b"x"))])
    for _ in range(levels):
        dag = once(plain_directory([(b"a", dag), (b"b", dag)]))
    return dag


def nested(levels: int) -> bytes:
    """A CAR of folders in each other in depth-first order, each with a file before and one after the folder in it."""
    x, bottom = leaf(b"x").blocks[0], leaf(b"bottom").blocks[0]
    here = plain_directory([(b"file", leaf(b"bottom"))]).blocks[0]
    folders = [here]
    for _ in range(levels):
        here = plain_directory([(b"a", Dag((x,))), (b"d", Dag((here,))), (b"z", Dag((x,)))]).blocks[0]
        folders.append(here)
    *above, first = reversed(folders)
    out = [header(here[0])]
    for folder in above:
        out += [section(*folder), section(*x)]
    out += [section(*first), section(*bottom), *(section(*x) for _ in above)]
    return b"".join(out)


@pytest.mark.parametrize("order", ["each block once", "in order"])
def test_trees_are_measured_as_they_are_walked(tmp_path: Path, order: str) -> None:
    below = {b"%d" % n: leaf(b"%d" % n) for n in range(70)}
    dag = directory(
        {b"one": directory(below), b"two": directory(below), b"f": file_node([leaf(b"abcd")] * 2)}
    )
    data = car(dag) if order == "in order" else car(once(dag))
    with Extraction([write(tmp_path / "a.car", data)]) as extraction:
        entries = list(extraction.entries(lambda *_: None))
    blocks = Blocks([tmp_path / "a.car"])
    total = Measure(blocks, lambda _: None).tree(Tree(dag.cid, 0, Naming(), Wanted.of(())))
    blocks.close()
    assert (total.entries, total.depth, total.lost) == (len(entries), 2, 0)
    assert total.size == sum(entry.size for entry, _, _ in entries)
    assert (total.cars, total.content) == (1, 1)


def test_folders_that_repeat_are_refused_before_they_are_walked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(bomb(200)))
    assert path.stat().st_size < 40_000
    with pytest.raises(LimitError, match=r"more than 2\^63 entries.*--max-entries"):
        extract([path], tmp_path / "to")
    assert not (tmp_path / "to").exists()
    assert "entries" in error_of("extract", path, "--list")
    assert "1,022 entries" in error_of(
        "extract", write(tmp_path / "b.car", car(bomb(8))), "--list", "--max-entries", 1021
    )
    report = extract([tmp_path / "b.car"], tmp_path / "to", limits=Limits(entries=1022))
    assert (report.problems, report.files) == ([], 512)


def test_shards_of_a_folder_that_repeat_are_refused(tmp_path: Path) -> None:
    dag = shard([(0, b"x", leaf(b"x")), (1, b"y", leaf(b"y"))])
    for _ in range(7):
        dag = once(shard([(slot, b"", dag) for slot in range(60)]))
    with pytest.raises(LimitError, match="5,598,720,000,000 entries"):
        extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to")


def test_a_part_of_a_tree_that_is_too_large_can_be_taken(tmp_path: Path) -> None:
    tree = once(plain_directory([(b"bomb", bomb(60)), (b"good", leaf(b"content"))]))
    path = write(tmp_path / "a.car", car(tree))
    assert extract([path], tmp_path / "to", b"good").ok
    assert extract([path], tmp_path / "to", b"bomb/" + b"/".join([b"a"] * 61)).ok
    with pytest.raises(LimitError):
        extract([path], tmp_path / "to", b"bomb/a")


def test_folders_in_each_other_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.car", nested(50))
    monkeypatch.setattr(measure, "MAX_DEPTH", 50)
    with pytest.raises(LimitError, match="folders nested 51 deep, the limit is 50: --max-depth"):
        extract([path], tmp_path / "to")
    assert extract([path], tmp_path / "to", limits=Limits(depth=51)).files == 101


def test_depth_costs_as_much_as_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders opened are counted: twice as many for a tree of twice the depth, and not four times."""
    counts = []
    opened = 0
    step = open_folders.open_step

    def counted(parent: int, name: bytes, make: bool, replace: bool = False) -> int:
        nonlocal opened
        opened += 1
        return step(parent, name, make, replace)

    monkeypatch.setattr(open_folders, "open_step", counted)
    for levels in (300, 600):  # what is deeper than a thousand, pytest can't remove
        opened = 0
        to = tmp_path / str(levels)
        report = extract([write(tmp_path / "a.car", nested(levels))], to)
        assert (report.problems, report.files, report.folders) == ([], 2 * levels + 1, levels)
        counts.append(opened)
        again = extract([tmp_path / "a.car"], to)
        assert (again.files, again.kept) == (0, 3 * levels + 1)
    assert counts[1] < 2.5 * counts[0]


def test_files_that_repeat_are_refused_by_free_space_or_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = leaf(bytes(4096))
    for _ in range(40):
        dag = once(file_node([dag, dag]))
    path = write(tmp_path / "a.car", car(once(plain_directory([(b"big", dag)]))))
    with pytest.raises(TargetError, match="4096 TiB must be written"):
        extract([path], tmp_path / "to")
    monkeypatch.setattr(Target, "free_bytes", lambda self: 1 << 60)
    with pytest.raises(LimitError, match=r"4,503,599,627,370,496 bytes.*64 GiB.*--max-bytes"):
        extract([path], tmp_path / "to")
    assert os.listdir(tmp_path / "to") == []


def test_a_file_of_leaves_without_bytes_ends(tmp_path: Path) -> None:
    dag = leaf(b"")
    for _ in range(60):
        dag = once(file_node([dag, dag]))
    path = write(tmp_path / "a.car", car(once(plain_directory([(b"nothing", dag), (b"z", leaf(b"y"))]))))
    assert extract([path], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {b"nothing": b"", b"z": b"y"}


def test_a_file_of_tiny_leaves_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptolemy_core.restore import dag as nodes

    monkeypatch.setattr(nodes, "_MANY_LEAVES", 1000)
    dag = leaf(b"x")
    for _ in range(20):
        dag = once(file_node([dag, dag]))
    path = write(tmp_path / "a.car", car(once(plain_directory([(b"bad", dag), (b"good", leaf(b"y"))]))))
    ((name, reason),) = extract([path], tmp_path / "to").problems
    assert name == "bad"
    assert "leaves of less than 1024 bytes" in reason
    assert (tmp_path / "to/good").exists()


@pytest.mark.parametrize(("levels", "ok"), [(64, True), (65, False)])
def test_a_files_nodes_have_a_limit_of_levels(tmp_path: Path, levels: int, ok: bool) -> None:
    dag = leaf(b"x")
    for _ in range(levels):
        dag = file_node([dag])
    report = extract(
        [write(tmp_path / "a.car", car(directory({b"f": dag, b"g": leaf(b"y")})))], tmp_path / "to"
    )
    assert report.ok == ok
    assert (tmp_path / "to/f").exists() == ok
    assert ok or "more than 64 levels" in report.problems[0][1]


def test_shards_in_shards_deeper_than_hashes_have_bits_are_refused(tmp_path: Path) -> None:
    dag = shard([(0, b"x", leaf(b"x"))])
    for _ in range(12):
        dag = shard([(0, b"", dag)])
    ((_, reason),) = extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to").problems
    assert "names' hashes have no more bits" in reason


def test_a_name_of_64_kib_is_refused_in_a_short_message(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(plain_directory([(b"n" * 65536, leaf(b"x")), (b"ok", leaf(b"y"))])))
    said = error_of("extract", path, "--to", tmp_path / "to")
    assert "File name too long" in said
    assert len(said) < 2000
    assert (tmp_path / "to/ok").read_bytes() == b"y"


def test_thousands_of_cars_are_one_set_of_blocks(tmp_path: Path) -> None:
    """Each block in a CAR of its own: a look-up doesn't go through all of them."""
    tree = directory({b"%04d" % n: leaf(b"%d" % n) for n in range(1500)})
    cars = [
        write(tmp_path / f"{n}.car", header(tree.cid) + section(*block))
        for n, block in enumerate(dict(tree.blocks).items())
    ]
    report = extract(cars, tmp_path / "to")
    assert (report.problems, report.files) == ([], 1500)


def test_paths_are_what_they_are_made_of() -> None:
    path = ROOT.child(b"a").child(b"b")
    assert (bytes(path), len(path), list(path)) == (b"a\0b", 2, [b"a", b"b"])
    assert path.key == path_of((b"a", b"b")).key != path_of((b"ab",)).key != path_of((b"a", b"bb")).key
    assert not path.fault
    assert path.child(b"..").child(b"x").fault
    assert path_of([b"x" * 200] * 20).shown().startswith(b"...\0x")
