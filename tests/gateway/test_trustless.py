"""The trustless gateway, rule by rule, over data sets whose whole DAG an oracle knows."""

import hashlib
from itertools import accumulate
from typing import Any

import pytest

from ptolemy_core.catalog import shards
from ptolemy_core.dag import cid
from ptolemy_core.gateway import trustless
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import Answer
from ptolemy_core.gateway.folders import FolderIndex
from ptolemy_core.layout import HEADER_SIZE
from ptolemy_core.reader import decode_node, verify_car
from ptolemy_core.stages.dataset import build_root
from tests.car.scene import sizes
from tests.car.sections import sections_of
from tests.dag import oracle
from tests.stages.conftest import PROFILE, Scene
from tests.stages.test_dataset import MIXED

from .holdings import Asked, public, refusal, scene_in

CHUNK = PROFILE.chunk
BIG = bytes(range(256)) * 37
TREE = oracle.dag(MIXED, sizes(PROFILE))


@pytest.fixture(params=["staged", "generated"], scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A data set in many CARs with a root, staged and generated."""
    stage = scene_in(tmp_path_factory.mktemp("built"), shard_size=2, car_storage=request.param)
    stage.run(MIXED)
    assert len(stage.cars()) > 3
    build_root(stage.catalog, stage.name, profile=PROFILE)
    return stage


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A data set in one CAR."""
    stage = scene_in(tmp_path_factory.mktemp("one"), car_size=31)
    stage.run({b"f": BIG[:700], b"d": {b"a": b"a", b"b": BIG[:1000]}, b"empty": {}, b"l": oracle.Link(b"f")})
    assert len(stage.cars()) == 1
    return stage


def below(node: oracle.Node) -> list[bytes]:
    """CIDs of all blocks below a node, depth first, repeated ones too."""
    return [each.cid for each in node.preorder()]


def at(*names: bytes) -> oracle.Node:
    """The node of a path of MIXED."""
    content: Any = MIXED
    for name in names:
        content = content[name]
    return oracle.dag(content, sizes(PROFILE))


def way_of(*names: bytes) -> list[bytes]:
    """CIDs of the blocks on the way to a path of MIXED, through nodes of HAMTs too."""
    out, node = [], TREE
    for name in names:
        out.append(node.cid)
        node_links = decode_node(node.block).links
        children = {link.name: child for link, child in zip(node_links, node.children, strict=True)}
        if name not in children:  # a HAMT
            digits = oracle.name_hash(name)
            for level in range(8):
                slot = b"%02X" % digits[level]
                if slot + name in children:
                    node = children[slot + name]
                    break
                node = children[slot]
                out.append(node.cid)
                links = decode_node(node.block).links
                children = {link.name: child for link, child in zip(links, node.children, strict=True)}
        else:
            node = children[name]
    return out


def test_all_below_a_data_sets_root_comes_depth_first_out_of_many_cars(built: Scene) -> None:
    found = Asked(built).car(TREE.cid)
    assert found.body == oracle.car(TREE)


def test_a_cars_own_root_gives_that_car_byte_for_byte(built: Scene) -> None:
    asked = Asked(built)
    for row in built.cars():
        found = asked.car(row.payload_cid)
        assert found.answer.size == row.car_size
        assert hashlib.sha256(found.body).digest() == row.sha256


@pytest.mark.parametrize(
    "names",
    [
        (b"a",),
        (b"a", b"a", b"deep"),
        (b"a!",),
        (b"big",),
        (b"b.bin.ptolemy0",),
        (b"empty",),
        (b"none",),
        (b"link",),
        (b"wide",),
        (b"wide", b"017"),
        (b"folders", b"059"),
        (b"folders", b"033", b"file"),
        (b"\xff\xfe\n", b"it's"),
    ],
)
def test_a_path_gives_the_blocks_on_its_way_and_then_what_is_below(
    built: Scene, names: tuple[bytes, ...]
) -> None:
    asked, end, way = Asked(built), at(*names), way_of(*names)
    found = asked.car(TREE.cid, *names)
    assert found.cids == [*way, *below(end)]
    assert asked.car(TREE.cid, *names, dag_scope="block").cids == [*way, end.cid]
    raw = asked.get(TREE.cid, *names, format="raw")
    assert raw.body == end.block
    assert raw.answer.headers["X-Ipfs-Roots"].split(",")[-1] == cid.to_text(end.cid)


def test_every_path_of_every_car_is_found_below_its_root(built: Scene) -> None:
    asked = Asked(built)
    for row in built.cars():
        content = sections_of(asked.car(row.payload_cid).body)
        blocks = {section.cid: section.block for section in content}
        paths = _paths(row.payload_cid, blocks)
        assert len(paths) >= 1
        for names, end in paths:
            assert asked.get(row.payload_cid, *names, format="raw").body == blocks[end]
            expected = _reachable(end, blocks)
            got = asked.car(row.payload_cid, *names).cids
            assert got[len(got) - len(expected) :] == expected


def _reachable(root: bytes, blocks: dict[bytes, bytes]) -> list[bytes]:
    out, todo = [], [root]
    while todo:
        here = todo.pop()
        out.append(here)
        if here.startswith(cid.DAG_PB_PREFIX):
            todo += [link.cid for link in reversed(decode_node(blocks[here]).links)]
    return out


def _paths(root: bytes, blocks: dict[bytes, bytes]) -> list[tuple[list[bytes], bytes]]:
    """All paths below a root with what they lead to, found by walking over all blocks."""
    out: list[tuple[list[bytes], bytes]] = []
    todo: list[tuple[list[bytes], bytes]] = [([], root)]
    while todo:
        names, here = todo.pop()
        out.append((names, here))
        if not here.startswith(cid.DAG_PB_PREFIX):
            continue
        node = decode_node(blocks[here])
        data = node.data or b""
        if data[:2] == b"\x08\x01":
            todo += [([*names, link.name or b""], link.cid) for link in node.links]
        elif data[:2] == b"\x08\x05":
            shards_ = [node]
            while shards_:
                for link in shards_.pop().links:
                    name = link.name or b""
                    if len(name) == 2:
                        shards_.append(decode_node(blocks[link.cid]))
                    else:
                        todo.append(([*names, name[2:]], link.cid))
    return [one for one in out if one[0]]


def test_every_file_and_shard_that_the_catalog_knows_is_given_by_its_cid(built: Scene) -> None:
    asked = Asked(built)
    for row in built.cars():
        car = asked.car(row.payload_cid).body
        for item in shards.built(built.catalog, row.container_id):
            found = asked.car(item.cid)
            assert found.cids[0] == item.cid
            size = len(found.body) - HEADER_SIZE
            assert found.body[HEADER_SIZE:] == car[item.car_offset : item.car_offset + size]
            assert asked.get(item.cid, format="raw").body == found.sections[0].block


@pytest.mark.parametrize("name", [b"big"])
def test_a_split_file_is_given_whole_by_its_cid(built: Scene, name: bytes) -> None:
    whole = at(name)
    found = Asked(built).car(whole.cid)
    assert found.body == oracle.car(whole)


RANGES = [
    ("0:0", 0, 1),
    ("0:*", 0, len(BIG)),
    ("511:512", 511, 513),
    ("1024:1535", 1024, 1536),
    ("5000:5001", 5000, 5002),
    ("-1:*", len(BIG) - 1, len(BIG)),
    ("-2000:-1000", len(BIG) - 2000, len(BIG) - 999),
    ("100:-100", 100, len(BIG) - 99),
    ("9000:20000", 9000, len(BIG)),
    (f"{-10 * len(BIG)}:100", 0, 101),
    ("3000:-9000", 0, 0),
]


def needed(node: oracle.Node, low: int, high: int) -> list[bytes]:
    """The fewest blocks that verify a range of a file, by walking over all of them; the root comes always."""
    out: list[bytes] = []

    def walk(here: oracle.Node, start: int) -> None:
        out.append(here.cid)
        begins = list(accumulate((child.length for child in here.children), initial=start))
        for child, begin in zip(here.children, begins, strict=False):
            if begin < high and begin + child.length > low:
                walk(child, begin)

    walk(node, 0)
    return out


@pytest.mark.parametrize(("asked_for", "low", "high"), RANGES)
def test_a_range_of_a_file_needs_the_fewest_blocks(built: Scene, asked_for: str, low: int, high: int) -> None:
    whole = at(b"big")
    expected = needed(whole, low, high)
    asked = Asked(built)
    assert asked.car(whole.cid, entity_bytes=asked_for).cids == expected
    found = asked.car(TREE.cid, b"big", entity_bytes=asked_for, dag_scope="all")
    assert found.cids == [TREE.cid, *expected]


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024, 1025, 2047, 2048])
def test_ranges_of_files_of_all_shapes_need_the_fewest_blocks(make: Any, size: int) -> None:
    stage = public(make, car_size=31, shard_size=31)
    data = bytes(number * 7 % 251 for number in range(size))
    stage.run({b"f": data})
    whole = oracle.dag(data, sizes(PROFILE))
    asked = Asked(stage)
    for low, high in {(0, 1), (size - 1, size), (size // 2, size // 2 + 1), (0, size), (size // 3, size)}:
        if low < high:
            assert asked.car(whole.cid, entity_bytes=f"{low}:{high - 1}").cids == needed(whole, low, high)


@pytest.mark.parametrize("asked_for", [f"{len(BIG)}:*", "100000:100001", f"0:{-len(BIG) - 1}"])
def test_a_range_outside_of_the_file_is_refused(built: Scene, asked_for: str) -> None:
    answer = Asked(built).path(at(b"big").cid, format="car", entity_bytes=asked_for)
    assert "outside" in refusal(answer, 400)


def test_a_range_of_what_is_no_file_is_its_entity(built: Scene) -> None:
    asked = Asked(built)
    for names in ((b"a",), (b"wide",), (b"link",), (b"none",)):
        found = asked.car(TREE.cid, *names, entity_bytes="0:5")
        assert found.body == asked.car(TREE.cid, *names, dag_scope="entity").body


def test_the_entity_of_a_folder_is_its_node_and_all_nodes_of_a_hamt(built: Scene) -> None:
    asked = Asked(built)
    assert asked.car(TREE.cid, b"a", dag_scope="entity").cids == [*way_of(b"a"), at(b"a").cid]
    wide = at(b"wide")
    nodes = [each.cid for each in wide.preorder() if each.cid.startswith(cid.DAG_PB_PREFIX)]
    assert len(nodes) > 2
    assert asked.car(TREE.cid, b"wide", dag_scope="entity").cids == [*way_of(b"wide"), *nodes]


def test_the_entity_of_a_file_is_all_of_it(built: Scene) -> None:
    whole = at(b"big")
    assert Asked(built).car(whole.cid, dag_scope="entity").cids == below(whole)


def test_without_duplicates_each_block_comes_once_and_in_the_same_order(built: Scene) -> None:
    expected = list(dict.fromkeys(below(TREE)))
    assert len(expected) < len(below(TREE))
    asked = Asked(built)
    for part in (70, 1000, 1 << 20):
        answer = asked.path(TREE.cid, format="car", car_dups="n")
        found = asked.got(answer, part)
        assert found.cids == expected
        assert (
            found.answer.headers["Content-Type"] == "application/vnd.ipld.car; version=1; order=dfs; dups=n"
        )


def test_who_says_nothing_of_duplicates_gets_none(built: Scene) -> None:
    found = Asked(built).get(TREE.cid, format="car")
    assert found.answer.headers["Content-Type"].endswith("dups=n")
    assert found.cids == list(dict.fromkeys(below(TREE)))


def test_of_too_many_blocks_all_are_repeated_or_none_is_given(
    built: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trustless, "MOST_ONCE", 5)
    asked = Asked(built)
    assert asked.get(TREE.cid, format="car").answer.headers["Content-Type"].endswith("dups=y")
    assert "car-dups=y" in refusal(asked.path(TREE.cid, format="car", car_dups="n"), 406)


def test_a_client_says_what_it_wants_in_the_query_or_in_accept(one: Scene) -> None:
    asked, root = Asked(one), one.cars()[0].payload_cid
    car, raw = "application/vnd.ipld.car", "application/vnd.ipld.raw"
    for accept in (car, f"{car}; version=1; order=dfs; dups=y", f"text/html, {raw};q=0.1, {car};q=0.5"):
        assert asked.get(root, h_accept=accept).answer.headers["Content-Type"].startswith(car)
    for accept in (raw, f"{car};q=0, {raw}", f"{car};q=0.2, {raw};q=0.3"):
        assert asked.get(root, h_accept=accept).answer.headers["Content-Type"] == raw
    # the query comes first, for each parameter
    assert asked.get(root, format="raw", h_accept=car).answer.headers["Content-Type"] == raw
    both = asked.get(root, format="car", car_dups="n", h_accept=f"{car}; dups=y; order=unk")
    assert both.answer.headers["Content-Type"].endswith("order=dfs; dups=n")
    assert (
        asked.get(root, format="car", h_accept=f"{car}; dups=y")
        .answer.headers["Content-Type"]
        .endswith("dups=y")
    )


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/vnd.ipld.dag-json", "", ";;,q"])
def test_who_wants_neither_block_nor_car_is_refused(one: Scene, accept: str | None) -> None:
    headers = {} if accept is None else {"h_accept": accept}
    assert "format=car" in refusal(Asked(one).path(one.cars()[0].payload_cid, **headers), 400)


@pytest.mark.parametrize(
    "query",
    [
        {"format": "ipns-record"},
        {"format": "tar"},
        {"format": "car", "dag_scope": "some"},
        {"format": "car", "dag_scope": ""},
        {"format": "car", "entity_bytes": "5"},
        {"format": "car", "entity_bytes": "*:5"},
        {"format": "car", "entity_bytes": "1:2:3"},
        {"format": "car", "entity_bytes": "9:3"},
        {"format": "car", "entity_bytes": "-3:-9"},
        {"format": "car", "entity_bytes": "1.5:3"},
        {"format": "car", "car_version": "2"},
        {"format": "car", "car_order": "bfs"},
        {"format": "car", "car_dups": "maybe"},
        {"h_accept": "application/vnd.ipld.car; version=2"},
        {"h_accept": "application/vnd.ipld.car; order=bfs"},
    ],
)
def test_what_the_specification_does_not_know_is_refused(one: Scene, query: dict[str, str]) -> None:
    refusal(Asked(one).path(one.cars()[0].payload_cid, **query), 400)


@pytest.mark.parametrize("text", ["", "x", "bafy", "Qm", "bafybeigdyrzt", "b" * 500, "k51qzi5uqu5d"])
def test_what_is_no_cid_is_refused(one: Scene, text: str) -> None:
    assert "no CID" in refusal(Asked(one).text(text, format="car"), 400)


def test_a_cid_that_the_catalog_does_not_know_is_not_found(one: Scene) -> None:
    asked = Asked(one)
    leaf = cid.of_digest(cid.RAW, hashlib.sha256(BIG[:CHUNK]).digest())  # of a file of two leaves
    for wanted in (leaf, cid.of_digest(cid.DAG_PB, bytes(32))):
        refusal(asked.path(wanted, format="raw"), 404)
        refusal(asked.path(wanted, format="car"), 404)
        refusal(asked.path(wanted, format="car", method="HEAD"), 404)
        refusal(asked.path(wanted, format="raw", h_cache_control="max-age=0, only-if-cached"), 412)


def test_a_path_that_is_not_there_is_not_found(one: Scene) -> None:
    asked, root = Asked(one), one.cars()[0].payload_cid
    for names in (
        (b"g",),
        (b"d", b"c"),
        (b"f", b"x"),
        (b"l", b"x"),
        (b"empty", b"x"),
        (b"..",),
        (b"d/a",),
        (b"\0",),
    ):
        assert "there is no" in refusal(asked.path(root, *names, format="car"), 404)


def test_a_cid_of_version_0_names_the_same_block(one: Scene) -> None:
    row = one.cars()[0]
    from multiformats import CID

    text = str(CID("base58btc", 0, "dag-pb", row.payload_cid[2:]))
    assert text.startswith("Qm")
    asked = Asked(one)
    assert asked.got(asked.text(text, format="car", car_dups="y")).body == asked.car(row.payload_cid).body


def test_headers_say_what_it_is_and_that_it_never_changes(one: Scene) -> None:
    asked, root = Asked(one), one.cars()[0].payload_cid
    text = cid.to_text(root)
    car = asked.get(root, b"d", b"b", format="car").answer.headers
    assert car["X-Ipfs-Path"] == f"/ipfs/{text}/d/b"
    assert car["X-Content-Type-Options"] == "nosniff"
    assert car["Content-Disposition"] == f'attachment; filename="{text}.car"'
    assert car["Access-Control-Allow-Origin"] == "*"
    assert car["Cache-Control"] == "public, max-age=29030400, immutable, no-transform"
    assert "Content-Location" not in car
    raw = asked.get(root, b"d", format="raw").answer.headers
    last = raw["X-Ipfs-Roots"].rpartition(",")[2]
    assert raw["X-Ipfs-Roots"] == f"{text},{last}"
    assert raw["ETag"] == f'"{last}.raw"'
    assert raw["Content-Disposition"] == f'attachment; filename="{last}.bin"'
    named = asked.get(root, format="raw", filename='a"b/é.bin').answer.headers
    assert named["Content-Disposition"] == 'attachment; filename="a_b__.bin"'
    located = asked.get(root, h_accept="application/vnd.ipld.car", entity_bytes="0:5").answer.headers
    assert located["Content-Location"] == f"/ipfs/{text}?format=car&dag-scope=entity&entity-bytes=0:5"


def test_etags_differ_by_scope_range_duplicates_and_path(one: Scene) -> None:
    asked, root = Asked(one), one.cars()[0].payload_cid
    tags = [
        asked.get(root, *names, format="car", **query).answer.headers["ETag"]
        for names in ((), (b"d", b"b"))
        for query in (
            {},
            {"dag_scope": "block"},
            {"dag_scope": "entity"},
            {"entity_bytes": "0:5"},
            {"entity_bytes": "0:6"},
            {"car_dups": "y"},
        )
    ]
    assert len(set(tags)) == len(tags)
    assert tags[1].startswith('W/"block.')
    for tag in (tags[0], tags[0].removeprefix("W/"), f'"x", {tags[0]}', "*"):
        answer = asked.path(root, format="car", h_if_none_match=tag)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.size) == (304, 0)
    assert asked.get(root, format="car", h_if_none_match=tags[1]).answer.status == 200


def test_a_block_is_given_by_ranges_too(one: Scene) -> None:
    asked, root = Asked(one), one.cars()[0].payload_cid
    block = asked.get(root, format="raw").body
    found = asked.get(root, format="raw", h_range="bytes=3-9")
    assert (found.answer.status, found.body) == (206, block[3:10])
    assert found.answer.headers["Content-Range"] == f"bytes 3-9/{len(block)}"
    refusal(asked.path(root, format="raw", h_range="bytes=100000-"), 416)
    tag = asked.get(root, format="raw").answer.headers["ETag"]
    same = asked.path(root, format="raw", h_if_none_match=tag)
    assert isinstance(same, Answer)
    assert same.status == 304


def test_a_probe_for_a_trustless_gateway_is_answered(one: Scene) -> None:
    asked = Asked(one)
    assert asked.got(asked.text("bafkqaaa", format="raw")).body == b""
    car = asked.got(asked.text("bafkqaaa", format="car")).body
    assert car.endswith(b"gversion\x01")
    assert bytes.fromhex("d82a450001550000") in car
    assert car[0] == len(car) - 1


def test_what_is_not_public_is_for_those_who_may_have_all(make: Any) -> None:
    stage: Scene = make("private", car_size=31)
    stage.run({b"f": b"secret", b"g": BIG})
    root = stage.cars()[0].payload_cid
    for wanted in (root, at_file := shards.built(stage.catalog, 1)[0].cid):
        refusal(Asked(stage).path(wanted, format="car"), 404)
        guarded = Asked(stage, Access(("a-token-of-some-length",)))
        refusal(guarded.path(wanted, format="car"), 401)
        refusal(guarded.path(cid.of_digest(cid.RAW, bytes(32)), format="car"), 401)  # there or not: the same
        allowed = Asked(stage, grant=Grant.ALL)
        assert allowed.car(wanted).cids[0] == wanted
        assert "private" in allowed.car(wanted).answer.headers["Cache-Control"]
    assert at_file


def test_what_is_below_a_public_root_comes_from_public_projects_alone(make: Any) -> None:
    open_one = public(make, "open")
    open_one.run({b"a": b"shared"})
    closed: Scene = make("closed")
    closed.run({b"b": b"shared"})
    item = shards.built(closed.catalog, closed.cars()[0].container_id)[0]
    assert Asked(closed).car(item.cid).sections[0].block == b"shared"  # the public project's
    other = closed.cars()[0].payload_cid
    refusal(Asked(closed).path(other, format="car"), 404)


def test_a_car_that_was_removed_is_not_found_and_others_with_the_same_file_are_taken(make: Any) -> None:
    first, second = public(make, "first"), public(make, "second")
    first.run({b"a": b"shared", b"x": b"x"})
    second.run({b"a": b"shared", b"y": b"y"})
    row = first.cars()[0]
    (first.staging / row.file_name).unlink()
    refusal(Asked(first).path(row.payload_cid, format="car"), 404)
    item = shards.built(first.catalog, row.container_id)[0]
    assert Asked(first).car(item.cid).sections[0].block == b"shared"


def test_an_answer_is_a_car_that_strict_readers_take(built: Scene, tmp_path: Any) -> None:
    place = tmp_path / "a.car"
    whole = Asked(built).car(at(b"a", b"a", b"deep").cid)
    place.write_bytes(whole.body)
    assert verify_car(place, PROFILE).ok


def test_an_index_of_folders_is_made_once(one: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FolderIndex] = []
    real = FolderIndex.__init__

    def counted(self: FolderIndex, *arguments: Any) -> None:
        made.append(self)
        real(self, *arguments)

    monkeypatch.setattr(FolderIndex, "__init__", counted)
    asked, root = Asked(one), one.cars()[0].payload_cid
    for _ in range(3):
        asked.car(root, b"d", b"a")
    assert len(made) == 1
