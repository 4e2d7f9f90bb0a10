"""CARs of other writers: their tools' own files, and layouts, orders and CIDs that the profile doesn't have."""

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ptolemy_core.reader import cid_text
from ptolemy_core.reader.hashes import parse_text
from ptolemy_core.restore import CarsError
from tests.reader.encoder import (
    DAG_PB,
    RAW,
    SMALL,
    Dag,
    car,
    car_v2,
    cid_of,
    directory,
    field,
    file,
    header,
    leaf,
    link,
    node,
    sample,
    section,
    shard,
    symlink,
    uvarint,
    write,
)

from .trees import extract, read_tree

CARS = Path(__file__).parents[1] / "vectors" / "cars"
PEERS = {
    b"a.txt": b"first\n",
    b"empty.txt": b"",
    b"sub": {b"b.txt": b"in a folder\n", b"deep": {b"numbers.bin": bytes(range(256)) * 4}},
}
SAMPLE_BYTES = bytes(range(100))


def test_car_of_ipfs_car(tmp_path: Path) -> None:
    assert extract([CARS / "peers/ipfs-car.car"], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == PEERS


def test_cars_of_singularity(tmp_path: Path) -> None:
    """Its folders are in a CAR of their own, and the root of the other is but its first block."""
    cars = [CARS / "peers/singularity-folders.car", CARS / "peers/singularity-data.car"]
    assert extract(cars, tmp_path / "both").ok
    first = cid_text(leaf(b"first\n").cid).encode()
    assert read_tree(tmp_path / "both") == PEERS | {first: b"first\n"}
    root = parse_text("bafybeiha7yck6wdv6lamwlltgk4zyr3eb2e3rczcfwbmgzrqxlw6eenrzq")
    assert extract(cars, tmp_path / "root", roots=[root]).ok
    assert read_tree(tmp_path / "root") == PEERS
    alone = extract(cars[:1], tmp_path / "alone")
    assert {path for path, _ in alone.problems} == {"a.txt", "empty.txt", "sub/b.txt", "sub/deep/numbers.bin"}


def test_car_of_go_car(tmp_path: Path) -> None:
    assert extract([CARS / "go-car-cmd/simple-unixfs.car"], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {
        folder: {
            b"%d" % n: {b"%c.txt" % (64 + n): b"%s%d%c\n" % (folder, n, 64 + n)} for n in range(low, low + 3)
        }
        for folder, low in ((b"a", 1), (b"b", 4), (b"c", 7))
    }


def test_missing_blocks_are_named_and_the_rest_comes(tmp_path: Path) -> None:
    """As go-car's own test has it: b/4, b/5/E.txt and b/6 are missing."""
    report = extract([CARS / "go-car-cmd/simple-unixfs-missing-blocks.car"], tmp_path / "to")
    assert [path for path, _ in report.problems] == ["b/4", "b/5/E.txt", "b/6"]
    assert report.files == 6


@pytest.mark.parametrize("name", ["car-valid/sample-v1.car", "car-valid/carv1-basic.car"])
def test_cars_without_files_say_so(tmp_path: Path, name: str) -> None:
    report = extract([CARS / name], tmp_path / "to")
    assert any("a UnixFS" in reason for _, reason in report.problems)


def test_car_v2_with_unixfs_root(tmp_path: Path) -> None:
    report = extract([CARS / "car-valid/sample-unixfs-v2.car"], tmp_path / "to")
    assert report.ok
    assert report.files >= 1


@pytest.mark.parametrize("path", sorted((CARS / "car-invalid").glob("*.car")), ids=lambda path: path.stem)
def test_invalid_cars_end_in_an_error_or_in_problems(tmp_path: Path, path: Path) -> None:
    try:
        report = extract([path], tmp_path / "to")
    except CarsError as error:
        said = str(error)
    else:
        # with zeros at its end, one of them is as good as a padded piece
        said = report.problems[0][1] if report.problems else path.name
        assert report.ok == ("zero-len-section2" in path.name)
    assert path.name in said or "a UnixFS" in said


EXPECTED = {
    b"big": SAMPLE_BYTES,
    b"empty": b"",
    b"folder": {b"inner": b"twenty bytes of file", b"none": {}},
    b"many": {b"entry-%d" % n: b"%d" % (n % 7) for n in range(40)},
    b"same": SAMPLE_BYTES,
}


def payload(blocks: Sequence[tuple[bytes, bytes]], root: bytes) -> bytes:
    return header(root) + b"".join(section(cid, data) for cid, data in blocks)


def orders() -> dict[str, Callable[[Dag], list[tuple[bytes, bytes]]]]:
    def shuffled(dag: Dag) -> list[tuple[bytes, bytes]]:
        blocks = list(dict(dag.blocks).items())
        random.Random(7).shuffle(blocks)
        return blocks

    return {
        "each block once": lambda dag: list(dict(dag.blocks).items()),
        "leaves first": lambda dag: list(dag.blocks)[::-1],
        "any order": shuffled,
        "a foreign block first": lambda dag: [(cid_of(RAW, b"other"), b"other"), *dag.blocks],
    }


@pytest.mark.parametrize("order", orders())
@pytest.mark.parametrize("version", [1, 2])
def test_blocks_in_any_order(tmp_path: Path, order: str, version: int) -> None:
    data = payload(orders()[order](sample()), sample().cid)
    if version == 2:
        data = car_v2(data, b"an index that nobody reads", padding=13)
    assert extract([write(tmp_path / "a.car", data)], tmp_path / "to").ok
    tree = read_tree(tmp_path / "to")
    assert isinstance(tree, dict)
    assert {name: below for name, below in tree.items() if name != b"link"} == EXPECTED


def test_a_dag_over_several_cars(tmp_path: Path) -> None:
    blocks = list(dict(sample().blocks).items())
    cars = [write(tmp_path / f"{n}.car", payload(blocks[n::3], sample().cid)) for n in range(3)]
    assert extract(cars, tmp_path / "to").ok
    assert extract(cars[:2], tmp_path / "less").problems


def pb_leaf(content: bytes, kind: int = 2) -> Dag:
    """A leaf as kubo made them before raw leaves: bytes in a dag-pb node, of type file or raw."""
    return node(b"", field(1, kind) + field(2, content) + field(3, len(content)), [], len(content))


def pb_file(children: Sequence[Dag], own: bytes = b"", packed: bool = False) -> Dag:
    total = len(own) + sum(child.size for child in children)
    data = field(1, 2) + (field(2, own) if own else b"") + field(3, total)
    sizes = [uvarint(child.size) for child in children]
    data += field(4, b"".join(sizes)) if packed else b"".join(b"\x20" + size for size in sizes)
    return node(b"".join(link(b"", child) for child in children), data, children, total)


def identity(content: bytes) -> Dag:
    return Dag(((bytes([1, RAW, 0, len(content)]) + content, content),), len(content))


def version_0(dag: Dag) -> Dag:
    """The same DAG, its root's CID of version 0."""
    (_, data), *below = dag.blocks
    return Dag(((b"\x12\x20" + hashlib.sha256(data).digest(), data), *below), dag.size)


def sha512_leaf(content: bytes) -> Dag:
    return Dag(((bytes([1, RAW, 0x13, 0x40]) + hashlib.sha512(content).digest(), content),), len(content))


LAYOUTS = {
    "dag-pb leaves": pb_file([pb_leaf(b"one "), pb_leaf(b"two ", 0), pb_leaf(b"three")]),
    "raw leaves of other sizes": pb_file([leaf(b"one two"), leaf(b" "), leaf(b"three")]),
    "depths that differ": pb_file([leaf(b"one "), pb_file([leaf(b"two "), pb_file([leaf(b"three")])])]),
    "bytes in inner nodes": pb_file([pb_file([leaf(b"o ")], own=b"w"), leaf(b"three")], own=b"one t"),
    "packed sizes": pb_file([leaf(b"one "), leaf(b"two three")], packed=True),
    "inline leaves": pb_file([identity(b"one "), identity(b"two "), leaf(b"three")]),
    "an inline file": identity(b"one two three"),
    "a small dag-pb file": pb_leaf(b"one two three"),
    "version 0": version_0(pb_file([version_0(pb_leaf(b"one two ")), pb_leaf(b"three")])),
    "sha2-512": pb_file([sha512_leaf(b"one two "), sha512_leaf(b"three")]),
    "empty leaves": pb_file([leaf(b""), leaf(b"one two three"), leaf(b"")]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inline", ["with sections for inline blocks", "without"])
def test_files_of_any_layout(tmp_path: Path, layout: str, inline: str) -> None:
    dag = directory({b"before": leaf(b"x"), b"file": LAYOUTS[layout], b"zz": leaf(b"y")})
    blocks = [(cid, data) for cid, data in dag.blocks if cid[2:3] != b"\0" or inline != "without"]
    path = write(tmp_path / "a.car", payload(blocks, dag.cid))
    for _ in range(2):  # the second time, compared with what is there
        report = extract([path], tmp_path / "to")
        assert report.problems == []
        assert read_tree(tmp_path / "to") == {b"before": b"x", b"file": b"one two three", b"zz": b"y"}
    assert report.kept == 3


def test_a_link_by_another_version_of_the_cid(tmp_path: Path) -> None:
    """The link says version 0, the section version 1: the block is the same."""
    dag = directory({b"file": version_0(pb_leaf(b"content"))})
    blocks = [(cid_of(DAG_PB, data), data) for _, data in dag.blocks]
    assert extract([write(tmp_path / "a.car", payload(blocks, dag.cid))], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {b"file": b"content"}


@pytest.mark.parametrize(("fanout", "form"), [(8, b"%X"), (16, b"%X"), (1024, b"%03X")])
def test_sharded_folders_of_any_fanout(tmp_path: Path, fanout: int, form: bytes) -> None:
    """Where an entry's slot is doesn't matter to a reader; what is left of its link's name does."""
    children = [(form % n + b"name %d" % n, leaf(b"%d" % n)) for n in range(4)]
    inner = _hamt(children, fanout)
    dag = _hamt([(form % 1 + b"top", leaf(b"t")), (form % 2, inner)], fanout)
    assert extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {b"top": b"t"} | {b"name %d" % n: b"%d" % n for n in range(4)}


def _hamt(links: Sequence[tuple[bytes, Dag]], fanout: int) -> Dag:
    data = field(1, 5) + field(2, b"\x0f") + field(5, 0x22) + field(6, fanout)
    return node(b"".join(link(name, child) for name, child in links), data, [child for _, child in links])


@pytest.mark.parametrize("fanout", [0, 7, 100, 2048, 1 << 40])
def test_fanouts_that_no_folder_has(tmp_path: Path, fanout: int) -> None:
    dag = directory({b"bad": shard([(1, b"x", leaf(b"x"))], fanout=fanout), b"good": leaf(b"y")})
    report = extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to")
    assert [(path, f"fanout {fanout}" in reason) for path, reason in report.problems] == [("bad", True)]
    assert (tmp_path / "to/good").read_bytes() == b"y"


def test_root_that_is_a_file_gets_its_cid_as_name(tmp_path: Path) -> None:
    for dag, content in ((leaf(b"alone"), b"alone"), (file(SAMPLE_BYTES, SMALL), SAMPLE_BYTES)):
        to = tmp_path / cid_text(dag.cid)
        assert extract([write(tmp_path / "a.car", car(dag))], to).ok
        assert read_tree(to) == {cid_text(dag.cid).encode(): content}


def test_several_roots_and_none(tmp_path: Path) -> None:
    one, two = directory({b"a": leaf(b"1")}), directory({b"b": leaf(b"2"), b"l": symlink(b"a")})
    body = b"".join(section(*block) for dag in (one, two) for block in dag.blocks)
    path = write(tmp_path / "a.car", header(one.cid, two.cid) + body)
    assert extract([path], tmp_path / "to").ok
    assert sorted(read_tree(tmp_path / "to")) == [b"a", b"b", b"l"]  # type: ignore[type-var]
    path = write(tmp_path / "none.car", header() + body)
    assert "no root" in extract([path], tmp_path / "none").problems[0][1]
    assert extract([path], tmp_path / "given", roots=[two.cid]).ok
    assert sorted(read_tree(tmp_path / "given")) == [b"b", b"l"]  # type: ignore[type-var]


def test_raw_names_are_kept(tmp_path: Path) -> None:
    names = [b"x.ptolemy0", b"y.ptolemy_", b"z.ptolemy7"]
    path = write(tmp_path / "a.car", car(directory({name: leaf(name) for name in names})))
    assert extract([path], tmp_path / "to", raw_names=True).ok
    assert read_tree(tmp_path / "to") == {name: name for name in names}


def test_hash_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    blake3 = Dag(((bytes([1, RAW, 0x1E, 0x20]) + bytes(32), b"unchecked"),), 9)
    path = write(tmp_path / "a.car", car(directory({b"bad": blake3, b"good": leaf(b"y")})))
    report = extract([path], tmp_path / "to")
    assert [path for path, _ in report.problems] == ["bad"]
    assert (tmp_path / "to/good").read_bytes() == b"y"
    assert not (tmp_path / "to/bad").exists()


@pytest.mark.parametrize("at", range(0, 3000, 61))
def test_flipped_bits_never_reach_a_file(tmp_path: Path, at: int) -> None:
    """Whatever is damaged: a file that is there has the right bytes, and a report says what isn't."""
    data = bytearray(car(sample()))
    data[at % len(data)] ^= 1 << at % 8
    try:
        report = extract([write(tmp_path / "a.car", bytes(data))], tmp_path / "to")
    except CarsError:
        return
    tree = read_tree(tmp_path / "to")
    assert isinstance(tree, dict)
    tree.pop(b".ptolemy-restore", None)  # type: ignore[attr-defined]
    assert report.ok == (tree.pop(b"link", None) is not None and tree == EXPECTED)  # type: ignore[attr-defined]
    for name, content in tree.items():
        wanted = EXPECTED[name]
        if isinstance(wanted, dict):
            assert isinstance(content, dict)
            assert all(wanted[below] == value for below, value in content.items())
        else:
            assert content == wanted
