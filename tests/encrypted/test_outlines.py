"""Outlines of encrypted CARs: always kept; no byte that differs from them is given out, so no nonce is used twice."""

import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import stored_cars
from ptolemy_core.errors import SourceChangedError
from tests.encrypted.test_stages import CANARY, TREE, restored
from tests.stages.conftest import Scene


def outlines(stage: Scene) -> list[Path]:
    return sorted((stage.staging / "outlines" / stage.name).iterdir())


def same_stamp(path: Path, content: bytes) -> None:
    """Change a file's content and nothing else that a scan sees."""
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_every_encrypted_car_has_an_outline_without_names_or_contents(secret: Scene) -> None:
    rows = secret.run(TREE)
    assert len(outlines(secret)) == len(rows)
    for outline in outlines(secret):
        data = outline.read_bytes()
        assert CANARY not in data
        assert b"deepest" not in data


@pytest.mark.parametrize("names", [True, False])
def test_generated_cars_are_encrypted_too(make: Any, tmp_path: Path, names: bool) -> None:
    staged, generated = (
        make(encrypt_names=names),
        make(name="g", car_storage="generated", encrypt_names=names),
    )
    staged.run(TREE)
    rows = generated.run(TREE)
    assert not list(generated.staging.glob("*.car"))
    assert generated.problems() == []
    assert [p for v in generated.verify(source=True) for p in v.problems] == []
    for row in rows:
        with stored_cars.by_number(generated.catalog, "g", row.number).open() as car:
            data = car.read(0, car.size)
        assert CANARY * 2 not in data
        assert not names or (CANARY not in data and b"deepest" not in data)
    assert restored(generated, tmp_path / "out") == TREE


def test_a_file_that_changed_unseen_gives_no_byte_of_a_generated_car(make: Any) -> None:
    stage = make(car_storage="generated")
    row = stage.run({b"f": b"before" * 90})[0]
    same_stamp(stage.target / "f", b"after!" * 90)
    with (
        stored_cars.by_number(stage.catalog, stage.name, row.number).open() as car,
        pytest.raises(SourceChangedError, match="other bytes"),
    ):
        car.read(0, car.size)
