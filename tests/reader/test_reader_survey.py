"""One reading of a CAR of any maker: sound, whole, its CIDs, and what is unusual."""

import hashlib
from pathlib import Path

import pytest

from ptolemy_core.commp import PieceCommitment, piece_cid_v2
from ptolemy_core.dag.profile import Profile
from ptolemy_core.reader import tree
from ptolemy_core.reader.survey import Survey, survey_car
from tests.reader import encoder
from tests.reader.encoder import (
    DAG_PB,
    RAW,
    SMALL,
    Dag,
    car,
    car_v2,
    cid_of,
    header,
    leaf,
    sample,
    section,
    write,
)

CORPUS = Path(__file__).parent / "corpus"


def surveyed(tmp_path: Path, data: bytes) -> Survey:
    return survey_car(write(tmp_path / "x.car", data), profile=SMALL)


def words(survey: Survey) -> str:
    return "; ".join(survey.oddities())


def test_a_car_of_the_profile_is_sound_whole_and_not_odd(tmp_path: Path) -> None:
    data = car(sample())
    found = surveyed(tmp_path, data)
    assert (found.is_sound, found.is_whole, found.profile_fault) == (True, True, None)
    assert [one for one in found.oddities() if "repeated" not in one] == []
    piece = PieceCommitment()
    piece.update(data)
    assert found.piece_cid_v2 == piece_cid_v2(piece.digest(), len(data))
    assert found.sha256 == hashlib.sha256(data).digest()
    assert found.size == len(data)


def test_digests_are_of_the_whole_file_however_broken_it_is(tmp_path: Path) -> None:
    for data in (b"no CAR at all", car(sample())[:-3], car(sample()) + b"\x00" * 50, b""):
        found = surveyed(tmp_path, data)
        assert not found.is_sound
        assert not found.is_whole
        assert (found.sha256, found.size) == (hashlib.sha256(data).digest(), len(data))


def test_a_car_that_is_cut_between_two_blocks_is_sound_and_not_whole(tmp_path: Path) -> None:
    dag = encoder.directory({b"a": leaf(b"one"), b"b": leaf(b"two")})
    found = surveyed(tmp_path, car(Dag(dag.blocks[:-1])))
    assert found.is_sound
    assert not found.is_whole
    assert found.missing == {dag.blocks[-1][0]}
    assert "1 block that it links to is not there" in words(found)
    assert "in others of these CARs" in found.oddities([dag.blocks[-1][0]])[0]


def root_over_many_files(files: int) -> Dag:
    """A folder with folders among its files, all of whose files are in other CARs."""
    inner = encoder.directory({b"x": leaf(b"x"), b"y": leaf(b"y")})
    entries = [(b"%05d" % n, inner if n % 7 == 0 else leaf(b"%d" % n)) for n in range(files)]
    whole = encoder.plain_directory(entries)
    return Dag([block for block in whole.blocks if block[0][1] == DAG_PB])


def test_the_root_of_many_files_in_other_cars_is_as_ptolemy_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_PASSED", 10)
    wide = Profile(chunk=8, width=3, hamt_threshold=100_000)
    dag = root_over_many_files(100)
    found = survey_car(write(tmp_path / "x.car", car(dag)), profile=wide)
    assert (found.is_sound, found.is_whole, found.profile_fault) == (True, False, None)
    disordered = Dag([dag.blocks[0], leaf(b"nowhere").blocks[0], *dag.blocks[1:]])
    fault = survey_car(write(tmp_path / "x.car", car(disordered)), profile=wide).profile_fault
    assert fault is not None
    assert fault.code == "extra-block"


def test_a_root_that_is_not_there_is_missing(tmp_path: Path) -> None:
    root = cid_of(RAW, b"elsewhere")
    assert surveyed(tmp_path, header(root)).missing == {root}


def test_a_flipped_bit_is_found_with_its_block(tmp_path: Path) -> None:
    data = bytearray(car(sample()))
    data[-1] ^= 1
    found = surveyed(tmp_path, bytes(data))
    assert [one.code for one in found.inspection.findings] == ["hash-mismatch"]
    assert found.profile_fault is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("roots-0.car", "0 roots"),
        ("roots-2.car", "2 roots"),
        ("v2-index.car", "a CARv2, with an index"),
        ("v2-bare.car", "a CARv2:"),
    ],
)
def test_what_is_unusual_is_said(name: str, said: str) -> None:
    found = survey_car(CORPUS / name)
    assert said in words(found)
    assert found.profile_fault is not None


def test_blocks_in_another_order_are_not_as_ptolemy_builds_them() -> None:
    found = survey_car(CORPUS / "v1-reversed.car")
    assert found.is_whole
    assert found.profile_fault is not None


def test_a_block_that_nothing_links_to_is_counted(tmp_path: Path) -> None:
    more = leaf(b"nobody's")
    found = surveyed(tmp_path, car(sample()) + section(more.cid, b"nobody's"))
    assert found.unlinked == 1
    assert "1 block that nothing in it links to" in words(found)


def test_a_block_under_an_unknown_hash_is_said_to_be_unchecked(tmp_path: Path) -> None:
    strange = bytes([1, RAW, 0x1E, 0x20]) + bytes(32)
    found = surveyed(tmp_path, header(strange) + section(strange, b"data"))
    assert "1 block not checked" in words(found)


def test_links_of_a_codec_that_is_not_read_are_said_to_be_unknown(tmp_path: Path) -> None:
    cbor = cid_of(0x71, b"\xa0")
    found = surveyed(tmp_path, header(cbor) + section(cbor, b"\xa0"))
    assert "1 block whose links weren't followed" in words(found)
    assert found.unlinked == 0


def test_a_large_block_is_said_to_be_one_that_ipfs_does_not_exchange(tmp_path: Path) -> None:
    data = bytes((2 << 20) + 1)
    found = surveyed(tmp_path, header(cid_of(RAW, data)) + section(cid_of(RAW, data), data))
    assert "larger than 2 MiB" in words(found)


def test_the_payload_of_a_car_v2_is_checked_and_its_piece_is_of_the_whole_file(tmp_path: Path) -> None:
    data = car_v2(car(sample()), index=b"index")
    found = surveyed(tmp_path, data)
    assert found.is_whole
    assert found.sha256 == hashlib.sha256(data).digest()


def test_a_dag_pb_block_that_is_no_node_has_unknown_links(tmp_path: Path) -> None:
    cid = cid_of(DAG_PB, b"\xff")
    assert surveyed(tmp_path, encoder.header(cid) + section(cid, b"\xff")).unread == 1
