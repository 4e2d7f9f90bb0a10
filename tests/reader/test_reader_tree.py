"""The DAG in depth-first pre-order, and every rule of the profile on it, each broken in turn."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ptolemy_core.dag.cid import to_text
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.reader import CarEntry, CarError, hamt, read_entries, tree, verify_car
from tests.reader.encoder import (
    DAG_PB,
    MURMUR3,
    RAW,
    SMALL,
    Dag,
    car,
    cid_of,
    directory,
    field,
    file,
    file_node,
    hamt_directory,
    header,
    leaf,
    link,
    murmur,
    node,
    plain_directory,
    sample,
    section,
    shard,
    symlink,
    with_blocks,
    write,
)

Check = Callable[..., list[str]]


@pytest.fixture
def codes(tmp_path: Path) -> Check:
    """The codes of a DAG's findings, in their order."""

    def check(dag: Dag, profile: Profile = SMALL, root: bytes | None = None) -> list[str]:
        report = verify_car(write(tmp_path / "a.car", car(dag, root)), profile)
        if report.findings:
            with pytest.raises(CarError):
                list(read_entries(tmp_path / "a.car", profile))
        return [str(each.code) for each in report.findings]

    return check


def under(child: Dag) -> Dag:
    return plain_directory([(b"f", child)])


def test_sample_is_right(codes: Check) -> None:
    assert codes(sample()) == []


@pytest.mark.parametrize("size", [*range(30), 71, 72, 73, 74, 80, 81, 215, 216, 217, 648, 649])
def test_files_of_every_depth_are_right(codes: Check, size: int) -> None:
    dag = file(bytes(n % 251 for n in range(size)))
    assert codes(dag) == []
    assert codes(under(dag)) == []


def test_entries_in_the_order_of_the_car(tmp_path: Path) -> None:
    dag = directory(
        {b"a": file(b"1234567890"), b"b": directory({b"\xff": symlink(b"../a")}), b"c": file(b"")}
    )
    found = list(read_entries(write(tmp_path / "a.car", car(dag)), SMALL))
    offsets = {}
    at = len(header(dag.cid))
    for cid, data in dag.blocks:
        offsets.setdefault(cid, at)
        at += len(section(cid, data))
    wanted = [
        (b"a", "file", 10, file(b"1234567890").cid, None),
        (b"b", "directory", 0, directory({b"\xff": symlink(b"../a")}).cid, None),
        (b"b/\xff", "symlink", 4, symlink(b"../a").cid, b"../a"),
        (b"c", "file", 0, leaf(b"").cid, None),
    ]
    assert found == [CarEntry(p, k, s, c, offsets[c], t) for p, k, s, c, t in wanted]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dag", "kind", "size"),
    [(leaf(b"abc"), "file", 3), (file(bytes(30)), "file", 30), (symlink(b"x"), "symlink", 1)],
)
def test_root_that_is_no_folder_is_an_entry_without_path(
    tmp_path: Path, dag: Dag, kind: str, size: int
) -> None:
    (found,) = read_entries(write(tmp_path / "a.car", car(dag)), SMALL)
    assert (found.path, found.kind, found.size, found.cid) == (b"", kind, size, dag.cid)


def test_root_folder_is_no_entry(tmp_path: Path) -> None:
    assert list(read_entries(write(tmp_path / "a.car", car(directory({}))), SMALL)) == []


def test_five_thousand_levels(tmp_path: Path) -> None:
    dag = file(b"deep")
    blocks = list(reversed(dag.blocks))
    total = dag.tsize
    for _ in range(5000):
        block = field(2, field(1, dag.cid) + field(2, b"d") + field(3, total)) + field(1, field(1, 1))
        total += len(block)
        blocks.append((cid_of(DAG_PB, block), block))
        dag = with_blocks(dag, [blocks[-1]])
    path = write(tmp_path / "deep.car", car(with_blocks(dag, blocks[::-1])))
    report = verify_car(path, SMALL)
    assert report.ok
    assert (report.directories, report.files, report.blocks) == (4999, 1, 5001)
    assert max(len(entry.path) for entry in read_entries(path, SMALL)) == 2 * 4999 + 1


# Order


def moved(dag: Dag, source: int, target: int) -> Dag:
    blocks = list(dag.blocks)
    blocks.insert(target, blocks.pop(source))
    return with_blocks(dag, blocks)


THREE = plain_directory([(b"a", leaf(b"one")), (b"b", leaf(b"two")), (b"c", leaf(b"three"))])


def test_swapped_blocks(codes: Check) -> None:
    assert codes(moved(THREE, 1, 2)) == ["order"]
    assert codes(moved(THREE, 1, 3)) == ["order"]
    assert codes(moved(THREE, 0, 3), root=THREE.cid) == ["extra-block"] * 3 + ["missing-block"] * 3


def test_missing_block(codes: Check) -> None:
    for gone in (1, 2, 3):
        blocks = [each for at, each in enumerate(THREE.blocks) if at != gone]
        assert codes(with_blocks(THREE, blocks)) == ["missing-block"]


def test_missing_subtree_is_named_once(codes: Check) -> None:
    dag = sample()
    inner = directory({b"inner": file(b"twenty bytes of file"), b"none": directory({})})
    at = dag.blocks.index(inner.blocks[0])
    size = len(inner.blocks)
    assert dag.blocks[at : at + size] == inner.blocks
    assert codes(with_blocks(dag, dag.blocks[:at] + dag.blocks[at + size :])) == ["missing-block"]


def test_no_blocks_at_all(codes: Check) -> None:
    assert codes(with_blocks(THREE, THREE.blocks[:1])) == ["missing-block"] * 3


def test_header_alone(tmp_path: Path) -> None:
    report = verify_car(write(tmp_path / "a.car", header(THREE.cid)), SMALL)
    assert [each.code for each in report.findings] == ["missing-block"]


def test_many_missing_blocks_are_counted(tmp_path: Path) -> None:
    dag = plain_directory([(b"%04d" % n, leaf(b"%d" % n)) for n in range(50)])
    wide = Profile(chunk=8, width=3, hamt_threshold=10_000)
    report = verify_car(write(tmp_path / "b.car", car(with_blocks(dag, dag.blocks[:1]))), wide)
    assert [each.code for each in report.findings] == ["missing-block"] * (tree.MAX_NAMED_MISSING + 1)
    assert report.findings[-1].message == "the blocks of 40 more links are missing"


def test_dropped_duplicate_is_missing(codes: Check) -> None:
    twice = plain_directory([(b"a", leaf(b"one")), (b"b", leaf(b"one")), (b"c", leaf(b"three"))])
    assert codes(twice) == []
    assert codes(with_blocks(twice, [twice.blocks[0], twice.blocks[1], twice.blocks[3]])) == ["missing-block"]


@pytest.mark.parametrize("at", range(5))
def test_extra_block(codes: Check, at: int) -> None:
    blocks = list(THREE.blocks)
    blocks.insert(at, leaf(b"extra").blocks[0])
    assert codes(with_blocks(THREE, blocks), root=THREE.cid) == ["extra-block"]


def test_block_of_the_tree_once_more_at_the_end(codes: Check) -> None:
    assert codes(with_blocks(THREE, THREE.blocks + THREE.blocks[1:2])) == ["extra-block"]
    assert codes(with_blocks(THREE, THREE.blocks * 2)) == ["extra-block"] * 4


def test_far_from_its_order_the_walk_stops(codes: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_PASSED", 5)
    dag = plain_directory([(b"%04d" % n, leaf(b"%d" % n)) for n in range(50)])
    wide = Profile(chunk=8, width=3, hamt_threshold=10_000)
    found = codes(with_blocks(dag, dag.blocks[:1] + dag.blocks[:0:-1]), wide)
    assert found[0] == "order"
    assert set(found[1:]) == {"missing-block"}


def test_a_block_that_links_to_itself(tmp_path: Path) -> None:
    block = field(2, field(1, THREE.cid) + field(2, b"a") + field(3, 5)) + field(1, field(1, 1))
    path = write(tmp_path / "a.car", header(THREE.cid) + section(THREE.cid, block) * 3000)
    found = [each.code for each in verify_car(path, SMALL).findings]
    assert found == ["hash-mismatch"] * 100


def test_path_of_too_many_bytes_stops_the_walk(codes: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_PATH_BYTES", 120)
    assert codes(under(under(leaf(b"x")))) == []
    assert codes(under(under(under(leaf(b"x"))))) == ["too-deep"]
    assert codes(plain_directory([(b"a", under(under(leaf(b"x")))), (b"b", ONE)])) == ["too-deep"]


# dag-pb and UnixFS


def with_root(links: bytes, data: bytes | None, children: list[Dag]) -> Dag:
    block = links + (b"" if data is None else field(1, data))
    below = [each for child in children for each in child.blocks]
    return Dag(((cid_of(DAG_PB, block), block), *below))


ONE = leaf(b"one")


def test_tsize(codes: Check) -> None:
    for wrong in (ONE.tsize - 1, ONE.tsize + 1, 0):
        assert codes(node(link(b"a", ONE, wrong), field(1, 1), [ONE])) == ["tsize"]
    deep = under(under(ONE))
    for wrong in (deep.tsize - 1, len(deep.blocks[0][1])):
        assert codes(node(link(b"a", deep, wrong), field(1, 1), [deep])) == ["tsize"]
    big = file(bytes(30))
    assert codes(node(link(b"a", big, 30), field(1, 1), [big])) == ["tsize"]


def test_tsize_counts_a_repeated_block_each_time(codes: Check) -> None:
    zeros = file(bytes(24))
    assert zeros.blocks[1:] == leaf(bytes(8)).blocks * 3
    assert codes(under(zeros)) == []
    once = zeros.tsize - 2 * 8
    assert codes(node(link(b"a", zeros, once), field(1, 1), [zeros])) == ["tsize"]


def test_unsorted_and_repeated_names(codes: Check) -> None:
    assert codes(plain_directory([(b"b", ONE), (b"a", ONE)])) == ["link-order"]
    assert codes(plain_directory([(b"a", ONE), (b"a", ONE)])) == ["link-order"]
    assert codes(plain_directory([(b"a", ONE), (b"a.", ONE), (b"aa", ONE)])) == []
    low, high = "\uff61".encode(), "\U0001f600".encode()  # UTF-16 has them the other way round
    assert codes(plain_directory([(low, ONE), (high, ONE)])) == []
    assert codes(plain_directory([(high, ONE), (low, ONE)])) == ["link-order"]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0"])
def test_names_that_no_file_has(codes: Check, name: bytes) -> None:
    assert codes(plain_directory([(name, ONE)])) == ["name"]


@pytest.mark.parametrize("name", [b"...", b" ", b"\xff\xfe", b"a\nb", b"\\", b"x" * 255, b"b.bin.ptolemy0"])
def test_names_that_a_file_may_have(codes: Check, name: bytes) -> None:
    assert codes(plain_directory([(name, ONE)])) == []


BROKEN_NODES = {
    "no data": (with_root(link(b"a", ONE), None, [ONE]), ["unixfs"]),
    "data before links": (
        Dag(
            (
                (
                    cid_of(DAG_PB, b"\x0a\x02\x08\x01" + link(b"a", ONE)),
                    b"\x0a\x02\x08\x01" + link(b"a", ONE),
                ),
                *ONE.blocks,
            )
        ),
        ["dag-pb"],
    ),
    "empty unixfs": (with_root(b"", b"", []), ["unixfs"]),
    "unknown type": (with_root(b"", field(1, 7), []), ["unixfs"]),
    "metadata": (with_root(b"", field(1, 3), []), ["unixfs"]),
    "link without name": (
        with_root(field(2, field(1, ONE.cid) + field(3, 3)), field(1, 1), [ONE]),
        ["dag-pb", "name"],
    ),
    "link without tsize": (
        with_root(field(2, field(1, ONE.cid) + field(2, b"a")), field(1, 1), [ONE]),
        ["dag-pb", "tsize"],
    ),
    "folder with data": (with_root(b"", field(1, 1) + field(2, b"x"), []), ["unixfs"]),
    "folder with filesize": (with_root(b"", field(1, 1) + field(3, 0), []), ["unixfs"]),
    "folder with mode": (with_root(b"", field(1, 1) + field(7, 0o755), []), ["unixfs"]),
    "folder with fanout": (with_root(b"", field(1, 1) + field(6, 256), []), ["unixfs"]),
    "symlink without target": (with_root(b"", field(1, 4), []), ["unixfs"]),
    "symlink with NUL": (symlink(b"a\0b"), ["unixfs"]),
    "symlink with filesize": (with_root(b"", field(1, 4) + field(2, b"a") + field(3, 1), []), ["unixfs"]),
    "file with data": (with_root(b"", field(1, 2) + field(2, b"abc") + field(3, 3), []), ["layout"]),
    "raw type": (with_root(b"", field(1, 0) + field(2, b"abc") + field(3, 3), []), ["layout"]),
}


@pytest.mark.parametrize("name", BROKEN_NODES)
def test_broken_node(codes: Check, name: str) -> None:
    dag, wanted = BROKEN_NODES[name]
    assert codes(dag) == wanted
    beside = plain_directory([(b"a", dag), (b"b", leaf(b"two"))])
    assert codes(beside) == wanted, "what follows is followed again"


def test_link_to_a_cid_of_another_kind(codes: Check) -> None:
    strange = Dag(((b"\x01\x71" + ONE.cid[2:], b"one"),))
    assert codes(under(strange)) == ["cid", "cid"]
    identity = Dag(((b"\x01\x55\x00\x03one", b"one"),))
    assert codes(under(identity)) == ["cid", "cid"]
    wrong = Dag(((b"\x01\x55\x00\x03two", b"one"),))
    assert sorted(codes(under(wrong))) == ["cid", "cid", "hash-mismatch"]


# Files

A, B, C = leaf(b"aaaaaaaa"), leaf(b"bbbbbbbb"), leaf(b"cc")


def test_filesize_and_blocksizes(codes: Check) -> None:
    assert codes(file_node([A, B, C])) == []
    assert codes(file_node([A, B, C], filesize=19)) == ["filesize"]
    assert codes(file_node([A, B, C], sizes=[8, 8, 1])) == ["filesize", "filesize"]
    assert codes(file_node([A, B, C], filesize=17, sizes=[8, 8, 1])) == ["filesize"]
    assert codes(file_node([A, B, C], filesize=16, sizes=[8, 8])) == ["unixfs"]
    assert codes(file_node([A, B, C], sizes=[8, 2, 8])) == ["layout", "filesize", "filesize"]
    assert "unixfs" in codes(file_node([A, B, C], sizes=[8, 8, 2, 0]))
    no_size = node(link(b"", A) + link(b"", B), field(1, 2) + field(4, 8) * 2, [A, B])
    assert codes(no_size) == ["unixfs", "filesize", "layout"]


def test_blocksize_of_a_node(codes: Check) -> None:
    full = file_node([A, A, A])
    assert codes(file_node([full, file_node([B])])) == []
    assert "filesize" in codes(file_node([full, file_node([B])], sizes=[23, 9]))
    lying = file_node([A, A, A], filesize=16, sizes=[8, 8])
    assert codes(file_node([full, lying], filesize=40, sizes=[24, 16])) == ["unixfs"]


def test_file_shapes_that_the_profile_does_not_give(codes: Check) -> None:
    full = file_node([A, A, A])
    shapes = {
        "leaf longer than a chunk": under(leaf(b"123456789")),
        "one leaf under a node": under(file_node([A])),
        "four links": file_node([A, A, A, C]),
        "short leaf before others": file_node([C, A]),
        "last leaf not wrapped": file_node([full, C]),
        "leaves one level too deep": file_node([file_node([A]), file_node([B])]),
        "child not full": file_node([file_node([A, A]), file_node([C])]),
        "empty last leaf": file_node([A, leaf(b"")]),
        "node in place of a leaf": file_node([A, file_node([C])]),
        "folder in a file": file_node([A, Dag(directory({}).blocks, 3)]),
        "link in a file": file_node([A, symlink(b"x")]),
    }
    for name, dag in shapes.items():
        assert set(codes(dag)) & {"layout", "unixfs"}, name


def test_file_link_with_a_name(codes: Check) -> None:
    named = node(link(b"", A) + link(b"n", C), field(1, 2) + field(3, 10) + field(4, 8) + field(4, 2), [A, C])
    assert codes(named) == ["unixfs"]


@pytest.mark.parametrize("leaves", [1023, 1024, 1025])
def test_width_of_the_real_profile(codes: Check, leaves: int) -> None:
    profile = Profile(chunk=4, width=1024)
    dag = file(bytes(4 * leaves), profile)
    assert codes(dag, profile) == []
    assert len(dag.blocks) == leaves + (3 if leaves > 1024 else 1)
    flat = file_node([leaf(bytes(4))] * leaves)
    assert codes(flat, profile) == (["layout"] * 3 if leaves > 1024 else [])


# HAMT


@pytest.mark.parametrize("size", MURMUR3)
def test_murmur3_is_the_one_of_other_implementations(size: int) -> None:
    name = bytes((n * 37 + 11) % 256 for n in range(size))
    assert hamt.murmur3(name) == int(MURMUR3[size], 16)


NAMES = {b"entry-%03d" % n: leaf(b"%d" % n) for n in range(300)}


def test_sharded_folder_is_right(codes: Check) -> None:
    dag = hamt_directory(NAMES)
    assert len(dag.blocks) > len(NAMES) + 10, "some shards are below others"
    assert codes(dag) == []
    assert codes(plain_directory([(b"a", dag), (b"b", ONE)])) == []


def test_sharded_folder_has_the_cid_of_other_implementations(codes: Check) -> None:
    dag = hamt_directory({b"file-%05d.txt" % n: leaf(b"content %d\n" % n) for n in range(10_000)})
    assert to_text(dag.cid) == "bafybeidwnjqfybbxfetdlgsryvo7fz5j43zvumrrzbzwr3gzp5gtduwhg4"
    assert codes(dag, UNIXFS_V1_2025) == []


def test_paths_in_a_sharded_folder_have_no_prefix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(plain_directory([(b"many", hamt_directory(NAMES))])))
    found = [entry.path for entry in read_entries(path, SMALL)]
    assert sorted(found) == [b"many", *(b"many/" + name for name in sorted(NAMES))]


def test_sharding_threshold_is_exact(codes: Check) -> None:
    entries = {b"entry-%03d" % n: leaf(b"%d" % n) for n in range(9)}
    size = len(plain_directory(sorted(entries.items())).blocks[0][1])
    for threshold, plain_ok in ((size - 1, False), (size, True), (size + 1, True)):
        profile = Profile(chunk=8, width=3, hamt_threshold=threshold)
        assert codes(plain_directory(sorted(entries.items())), profile) == ([] if plain_ok else ["layout"])
        assert codes(hamt_directory(entries), profile) == (["hamt"] if plain_ok else [])


def links_of(names: dict[bytes, Dag]) -> list[tuple[int, bytes, Dag]]:
    return sorted((murmur(name)[0], name, child) for name, child in names.items())


def apart(count: int) -> dict[bytes, Dag]:
    """Names whose hashes differ in the first byte."""
    chosen: dict[int, bytes] = {}
    for name in NAMES:
        chosen.setdefault(murmur(name)[0], name)
    return {name: NAMES[name] for name in list(chosen.values())[:count]}


def test_hamt_that_is_wrong(codes: Check) -> None:
    good = links_of(apart(20))
    assert codes(shard(good)) == []
    assert codes(shard(good, hash_type=0x12)) == ["hamt"]
    assert codes(shard(good, fanout=512)) == ["hamt"]
    number = sum(1 << slot for slot, _, _ in good)
    assert codes(shard(good, bits=number.to_bytes(33, "big"))) == ["hamt"], "a leading zero"
    assert codes(shard(good, bits=(number ^ 1 << 77).to_bytes(32, "big"))) == ["hamt"]
    assert codes(shard(good, bits=b"")) == ["hamt"]
    slot, name, child = good[3]
    free = next(n for n in range(slot + 1, 256) if n not in {each[0] for each in good})
    moved_links = sorted([*good[:3], *good[4:], (free, name, child)])
    assert codes(shard(moved_links)) == ["hamt"], "an entry in another slot"
    swapped = [*good[:5], good[6], good[5], *good[7:]]
    assert set(codes(shard(swapped))) == {"link-order", "hamt"}
    pair = [(slot, name, child), (slot, name + b"+", child)]
    assert "hamt" in codes(shard([*good[:3], *pair, *good[4:]])), "two entries in a slot"
    single = hamt_directory({name: child}, level=1)
    found = codes(shard([*good[:3], (slot, b"", single), *good[4:]]))
    assert found == ["hamt"], "a shard of one entry"
    empty = shard([])
    assert codes(shard([*good[:3], (slot, b"", empty), *good[4:]])) == ["hamt"]
    assert "hamt" in codes(shard([*good[:3], (slot, b"", child), *good[4:]])), "a slot that leads to a file"
    assert "hamt" in codes(shard([*good[:3], (slot, b"", directory({})), *good[4:]]))


def test_wrong_slot_in_a_shard_below(codes: Check) -> None:
    by_slot: dict[int, dict[bytes, Dag]] = {}
    for name, child in NAMES.items():
        by_slot.setdefault(murmur(name)[0], {})[name] = child
    slot, pair = next((slot, names) for slot, names in by_slot.items() if len(names) == 2)
    rest = [each for each in links_of(apart(20)) if each[0] != slot]
    good = sorted([*rest, (slot, b"", hamt_directory(pair, 1))])
    assert codes(shard(good)) == []
    wrong = shard([(n, name, child) for n, (name, child) in enumerate(sorted(pair.items()))])
    assert codes(shard(sorted([*rest, (slot, b"", wrong)]))) == ["hamt", "hamt"]
    other = next(n for n in range(256) if n not in {each[0] for each in good})
    elsewhere = sorted([*rest, (other, b"", hamt_directory(pair, 1))])
    assert codes(shard(elsewhere)) == ["hamt", "hamt"]


@pytest.mark.parametrize("prefix", [b"ab", b"aB", b"G0", b"0", b"", b" 1", b"+1"])
def test_hamt_prefix_that_is_not_upper_hex(codes: Check, prefix: bytes) -> None:
    good = links_of(apart(20))
    encoded = link(prefix + b"zz", ONE) + b"".join(link(b"%02X" % s + n, c) for s, n, c in good)
    data = field(1, 5) + field(2, b"\x01") + field(5, 0x22) + field(6, 256)
    found = codes(node(encoded, data, [ONE, *(c for _, _, c in good)]))
    assert "hamt" in found


def test_hamt_deeper_than_the_hash(codes: Check) -> None:
    dag = hamt_directory(apart(2), 0)
    for _ in range(9):
        dag = shard([(0, b"", dag)])
    assert "hamt" in codes(dag)


def test_node_larger_than_any_of_the_profile_is_not_decoded(codes: Check) -> None:
    big = symlink(bytes(b"x" * 300_000))
    assert codes(under(big), UNIXFS_V1_2025) == ["layout"]


def test_every_kind_of_raw_and_dag_pb_is_known() -> None:
    assert {cid[1] for cid, _ in sample().blocks} == {RAW, DAG_PB}
