"""No salt meets two contents that may have left the machine: receipts come before names, rebuilds are compared."""

import os
from pathlib import Path

import pytest

from ptolemy_core.errors import SourceChangedError
from ptolemy_core.staging import build as staging_build
from tests.encrypted.test_outlines import same_stamp
from tests.encrypted.test_stages import data, restored
from tests.stages.conftest import Crash, Scene


def header_of(stage: Scene, name: bytes) -> bytes:
    header: bytes = next(row.header for row in stage.files() if row.path == name)
    return header


def crash_at(step: str, patch: pytest.MonkeyPatch) -> None:
    """Break builds off before the outline is named, between outline and CAR, or after both."""
    real = staging_build._CarAndOutline.publish

    def publish(self: staging_build._CarAndOutline, name: str) -> None:
        if step == "before":
            raise Crash
        if step == "between":
            self._outline.publish(name)
            raise Crash
        real(self, name)
        raise Crash

    patch.setattr(staging_build._CarAndOutline, "publish", publish)


def build_and_crash(stage: Scene, step: str) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        crash_at(step, patch)
        stage.build(0)


def test_a_lost_car_is_rebuilt_bit_by_bit(secret: Scene) -> None:
    row = secret.run({b"f": data(900), b"g": b"x", b"h": b""})[0]
    car = secret.staging / row.file_name
    first = car.read_bytes()
    car.unlink()
    secret.build(0, rebuild=True)
    assert car.read_bytes() == first


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_a_build_that_was_killed_around_the_naming_is_finished_with_the_same_bytes(
    secret: Scene, step: str
) -> None:
    secret.put({b"f": data(900), b"g": b"x"})
    secret.scan()
    secret.plan()
    build_and_crash(secret, step)
    assert not secret.plan().containers[0].built
    receipt = secret.cars()[0]
    rows = secret.blitz()
    assert [row.file_name for row in rows] == [receipt.file_name]
    assert rows[0].named
    assert secret.problems() == []


@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("step", ["before", "between"])
def test_where_the_source_is_another_one_by_then_all_gets_new_salts(
    secret: Scene, tmp_path: Path, step: str
) -> None:
    content = {b"f": data(900), b"g": data(20), b"kept": data(700)}
    secret.put(content)
    secret.scan()
    secret.plan()
    build_and_crash(secret, step)
    salts = {name: header_of(secret, name) for name in content}
    receipt = secret.cars()[0]
    same_stamp(secret.target / "g", data(20, seed=1))
    with pytest.raises(SourceChangedError, match="g changed since the scan, other bytes"):
        secret.blitz()
    assert receipt.file_name not in secret.in_staging()
    secret.plan()
    secret.blitz()
    assert secret.problems() == []
    assert all(header_of(secret, name) != salts[name] for name in content)
    assert restored(secret, tmp_path / "out") == content | {b"g": data(20, seed=1)}


def test_a_lost_car_whose_source_is_another_one_by_now_isnt_rebuilt_and_the_file_gets_a_new_salt(
    secret: Scene, tmp_path: Path
) -> None:
    row = secret.run({b"f": data(300), b"g": data(20)})[0]
    salts = header_of(secret, b"f"), header_of(secret, b"g")
    (secret.staging / row.file_name).unlink()
    same_stamp(secret.target / "g", data(20, seed=1))
    with pytest.raises(SourceChangedError, match="g changed since the scan, other bytes"):
        secret.build(0, rebuild=True)
    assert row.file_name not in secret.in_staging()
    assert secret.plan().new == 1
    secret.blitz()
    assert header_of(secret, b"f") == salts[0]
    assert header_of(secret, b"g") != salts[1]


def test_a_version_that_comes_back_keeps_its_salt_only_where_a_car_has_it(secret: Scene) -> None:
    secret.run({b"built": b"one"})
    built = header_of(secret, b"built")
    secret.put({b"planned": b"two"})
    secret.scan()
    secret.plan()
    planned = header_of(secret, b"planned")
    aside = secret.target.parent / "aside"
    for name in ("built", "planned"):
        os.rename(secret.target / name, aside)
        secret.put({b"other": b""})
        secret.scan(accept_loss=True)
        os.rename(aside, secret.target / name)
        (secret.target / "other").unlink()
        secret.scan(accept_loss=True)
    assert header_of(secret, b"built") == built
    assert header_of(secret, b"planned") != planned


def test_no_two_files_have_the_same_salt(secret: Scene) -> None:
    secret.run({b"%d" % k: b"same" for k in range(200)})
    assert len({row.header for row in secret.files()}) == 200
