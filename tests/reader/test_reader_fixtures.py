"""CARs and dag-pb blocks of other projects, each with what their own tests expect of it."""

import hashlib
import json
from pathlib import Path

import pytest

from ptolemy_core import reader
from ptolemy_core.dag.cid import from_text

CARS = Path(__file__).parents[1] / "vectors" / "cars"
BASIC = ["carv1-basic", "carv2-basic"]
VALID = {
    # name: version, roots, blocks
    "car-valid/carv1-basic.car": (1, 2, 8),
    "car-valid/carv2-basic.car": (2, 1, 5),
    "car-valid/sample-rw-bs-v2.car": (2, 3, 3),
    "car-valid/sample-unixfs-v2.car": (2, 1, 3),
    "car-valid/sample-v1-noidentity.car": (1, 1, 1043),
    "car-valid/sample-v1.car": (1, 1, 1049),
    "car-valid/sample-v2-indexless.car": (2, 1, 1049),
    "car-valid/sample-wrapped-v2.car": (2, 1, 1049),
    "go-car-cmd/simple-unixfs.car": (1, 1, 22),
    "go-car-cmd/simple-unixfs-missing-blocks.car": (1, 1, 17),
    "peers/ipfs-car.car": (1, 1, 7),
    "peers/singularity-data.car": (1, 1, 4),
    "peers/singularity-folders.car": (1, 1, 3),
}
INVALID = {
    # name: code, byte offset, blocks before it
    "car-invalid/sample-corrupt-pragma.car": ("truncated", 16, 0),
    "car-invalid/sample-rootless-v42.car": ("version", 1, 0),
    "car-invalid/sample-v1-tailing-corrupt-section.car": ("truncated", 479518, 1048),
    "car-invalid/sample-v1-with-zero-len-section.car": ("trailing-bytes", 479907, 1049),
    "car-invalid/sample-v1-with-zero-len-section2.car": ("trailing-bytes", 20819, 20),
    "car-invalid/sample-v2-corrupt-data-and-index.car": ("header", 43, 0),
    "go-car-cmd/badheaderlength.car": ("header", 0, 0),
    "go-car-cmd/badsectionlength.car": ("section-too-large", 18, 0),
}


def test_every_fixture_has_a_case() -> None:
    here = {str(path.relative_to(CARS)) for path in CARS.rglob("*.car")}
    assert here == VALID.keys() | INVALID.keys()
    peers = json.loads((CARS / "peer-cases.json").read_text())["cases"]
    assert {case["file"] for case in peers} <= here


@pytest.mark.parametrize("name", VALID)
def test_valid_car_is_read_and_every_hash_is_right(name: str) -> None:
    seen = reader.inspect_car(CARS / name)
    assert seen.findings == ()
    assert (seen.version, len(seen.roots), seen.blocks) == VALID[name]
    assert seen.unchecked == 0


@pytest.mark.parametrize("name", INVALID)
def test_invalid_car_is_an_error_at_its_place(name: str) -> None:
    code, offset, blocks = INVALID[name]
    seen = reader.inspect_car(CARS / name)
    assert [(each.code, each.offset) for each in seen.findings] == [(code, offset)]
    assert seen.blocks == blocks
    with pytest.raises(reader.CarError) as caught, reader.open_car(CARS / name) as car:
        list(car.blocks())
    assert (caught.value.code, caught.value.offset) == (code, offset)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [name for name in INVALID if "zero-len" in name])
def test_zero_length_section_as_end(name: str) -> None:
    seen = reader.inspect_car(CARS / name, zero_is_end=True)
    assert seen.ok
    assert seen.blocks == INVALID[name][2]


def _binary(link: dict[str, str]) -> bytes:
    text = link["/"]
    if text.startswith("b"):
        return from_text(text)
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for letter in text:
        number = number * 58 + alphabet.index(letter)
    return number.to_bytes(34, "big")


@pytest.mark.parametrize("name", BASIC)
def test_sections_are_where_the_specification_says(name: str) -> None:
    wanted = json.loads((CARS / "car-valid" / f"{name}.json").read_text())
    with reader.open_car(CARS / "car-valid" / f"{name}.car") as car:
        assert list(car.header.roots) == [_binary(root) for root in wanted["header"]["roots"]]
        sections = list(car.sections())
    assert sections == [
        reader.Section(each["offset"], _binary(each["cid"]), each["blockOffset"], each["blockLength"])
        for each in wanted["blocks"]
    ]


@pytest.mark.parametrize("name", BASIC)
def test_cid_text_is_the_one_of_the_specification(name: str) -> None:
    wanted = json.loads((CARS / "car-valid" / f"{name}.json").read_text())
    for each in wanted["blocks"]:
        assert reader.cid_text(_binary(each["cid"])) == each["cid"]["/"]


def test_missing_blocks_are_named() -> None:
    report = reader.verify_car(CARS / "go-car-cmd/simple-unixfs-missing-blocks.car")
    messages = [each.message for each in report.findings if each.code == "missing-block"]
    for folder in (
        "QmVKt1VVkgfYcbSZqLD9sxZAkDpbH3L7RM6mJ6LHbkj5Bm",
        "QmQVogEgzv2B7p1FPVueiaTvpVQazboakY8EwEKNPZ1KGM",
    ):
        assert sum(folder in message for message in messages) == 1


def test_files_of_a_foreign_writer_break_the_profile() -> None:
    report = reader.verify_car(CARS / "go-car-cmd/simple-unixfs.car")
    assert {each.code for each in report.findings} == {"cid", "layout"}
    assert report.files == 9


def test_cut_car_v2_index_is_not_an_error_but_cut_payload_is(tmp_path: Path) -> None:
    whole = (CARS / "car-valid/sample-wrapped-v2.car").read_bytes()
    end = 51 + int.from_bytes(whole[35:43], "little")
    cut = tmp_path / "cut.car"
    cut.write_bytes(whole[:end])
    assert reader.inspect_car(cut).blocks == 1049
    cut.write_bytes(whole[: end - 1])
    assert [each.code for each in reader.inspect_car(cut).findings] == ["truncated"]


DAG_PB = sorted((CARS / "dag-pb").glob("*.dag-pb"))


@pytest.mark.parametrize("path", DAG_PB, ids=lambda path: path.name.split("__")[0])
def test_dag_pb_fixture_decodes(path: Path) -> None:
    block = path.read_bytes()
    name, text = path.stem.split("__")
    assert from_text(text)[4:] == hashlib.sha256(block).digest()
    decoded = reader.decode_node(block)
    counts = {"dagpb_1link": 1, "dagpb_2link+data": 2, "dagpb_4namedlinks+data": 4}
    counts |= {"dagpb_7unnamedlinks+data": 7, "dagpb_11unnamedlinks+data": 11}
    if name in counts:
        assert len(decoded.links) == counts[name]
        assert (decoded.data is not None) == name.endswith("+data")
    if name.startswith("dagpb_Links_Hash_some"):
        (link,) = decoded.links
        assert (link.name is not None) == ("Name" in name)
        assert (link.tsize is not None) == ("Tsize" in name)
    if name == "dagpb_Data_some":
        assert decoded.data == bytes(range(5))
    if name == "dagpb_empty":
        assert decoded == reader.Node((), None)


NEGATIVE = json.loads((CARS / "dag-pb" / "negative-decode-edges.json").read_text())


@pytest.mark.parametrize("case", NEGATIVE, ids=lambda case: case["name"])
def test_dag_pb_fixture_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(reader.DagPbError):
        reader.decode_node(bytes.fromhex(case["hex"]))
