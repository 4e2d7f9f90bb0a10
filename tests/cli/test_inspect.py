"""`ptolemy inspect`: any CAR, without a project."""

import os
from pathlib import Path

from tests.cli.commands import error_of, printed, ptolemy
from tests.cli.test_schemas import is_as_published

CORPUS = Path(__file__).parents[1] / "reader" / "corpus"


def prepared(tmp_path: Path) -> list[Path]:
    """Two CARs: of files, and of the folder above them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"a" * 100)
    ptolemy("prep", tmp_path / "data", tmp_path / "cars")
    return sorted((tmp_path / "cars").glob("*.car"), key=os.path.getsize, reverse=True)


def test_inspect_says_all_of_a_car(tmp_path: Path) -> None:
    car, root = prepared(tmp_path)
    (found,) = is_as_published("inspect", printed("inspect", car))
    assert (found["sound"], found["whole"], found["profile"], found["odd"]) == (True, True, True, [])
    assert found["piece_cid"] == car.stem
    text = ptolemy("inspect", car, root).stdout
    assert found["roots"][0] in text
    assert found["piece_cid_v2"] in text
    assert "as Ptolemy builds it" in text


def test_blocks_of_other_cars_that_are_given_count(tmp_path: Path) -> None:
    _, root = prepared(tmp_path)
    assert "aren't there" in ptolemy("inspect", root, code=1).stdout
    ptolemy("inspect", root, "--partial")
    ptolemy("inspect", *prepared_again(root))


def prepared_again(root: Path) -> list[Path]:
    return sorted(root.parent.glob("*.car"))


def test_damage_ends_with_1_and_is_named(tmp_path: Path) -> None:
    car, _ = prepared(tmp_path)
    data = bytearray(car.read_bytes())
    data[-1] ^= 1
    car.write_bytes(data)
    assert "hash-mismatch" in ptolemy("inspect", car, code=1).stdout
    (tmp_path / "no.car").write_bytes(b"text")
    assert "not a CAR" in ptolemy("inspect", tmp_path / "no.car", code=1).stdout


def test_every_block_is_listed_on_request(tmp_path: Path) -> None:
    car, _ = prepared(tmp_path)
    lines = ptolemy("inspect", car, "--blocks").stdout.splitlines()
    assert (
        sum(line.split()[-1].startswith(("bafy", "bafk")) and line.split()[0].isdecimal() for line in lines)
        == 2
    )


def test_a_file_that_is_not_there_is_an_error() -> None:
    assert "nothing.car can't be read" in error_of("inspect", "nothing.car")


def test_foreign_cars_are_described() -> None:
    text = ptolemy("inspect", CORPUS / "v2-index.car", CORPUS / "cid-v0.car").stdout
    assert "CARv2" in text
    assert "not as Ptolemy builds it" in text
