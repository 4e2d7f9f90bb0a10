"""The bytes of single CARs: export, cat, rebuild; and what other commands say of generated ones."""

import os
from pathlib import Path

import pytest

from ptolemy_core.catalog import stored_cars
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from ptolemy_core.staging.stored import StoredCar
from tests.cli.commands import error_of, printed, process, ptolemy
from tests.pipeline.backend import Backend

FILES = {"a.txt": b"alpha", "b/c.bin": os.urandom(2_500_000), "d": b"delta"}


def one(backend: Backend, number: int = 0) -> StoredCar:
    return stored_cars.by_number(backend.catalog, "delta", number)


def build(backend: Backend, project: str) -> None:
    """All stages but verify."""
    scan(backend.catalog, project)
    containerize(backend.catalog, project)
    build_container(backend.catalog, project, 0)


@pytest.fixture
def generated(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Project delta, whose CAR is generated."""
    monkeypatch.setenv("PYTHONPATH", sqlite.env["PYTHONPATH"])
    sqlite.define(target=sqlite.folder(files=FILES), car_storage="generated")
    build(sqlite, "delta")
    return sqlite


@pytest.fixture
def staged(generated: Backend) -> bytes:
    """The same CAR as a staged project has it."""
    generated.define("staged", target=generated.root / "data")
    build(generated, "staged")
    stored = stored_cars.by_number(generated.catalog, "staged", 0)
    assert stored.piece_cid_v2 == one(generated).piece_cid_v2
    return Path(stored.path).read_bytes()


def test_export_and_cat_give_the_bytes_of_the_staged_car(
    generated: Backend, staged: bytes, tmp_path: Path
) -> None:
    name = one(generated).file_name
    ptolemy("export", "delta/0", "--to", tmp_path / "x.car")
    assert (tmp_path / "x.car").read_bytes() == staged
    (tmp_path / "folder").mkdir()
    ptolemy("export", name, "-p", "delta", "--to", tmp_path / "folder")
    assert (tmp_path / "folder" / name).read_bytes() == staged
    assert os.listdir(tmp_path / "folder") == [name]
    ptolemy("export", "staged/0", "--to", tmp_path / "y.car")
    assert (tmp_path / "y.car").read_bytes() == staged
    assert "already exists" in error_of("export", "delta/0", "--to", tmp_path / "x.car")
    ptolemy("export", "delta/0", "--to", tmp_path / "x.car", "--overwrite")
    whole = process(generated, "cat", "delta/0")
    assert (whole.returncode, whole.stdout) == (0, staged)
    for text, expected in (
        ("0-0", staged[:1]),
        ("1000000-2100000", staged[1_000_000:2_100_001]),
        ("2500000-", staged[2_500_000:]),
        ("-77", staged[-77:]),
        ("5-99999999999", staged[5:]),
    ):
        part = process(generated, "cat", "delta/0", "--range", text)
        assert (part.returncode, part.stdout) == (0, expected), text


@pytest.mark.parametrize("text", ["-", "5", "9-3", "a-b", "99999999-", "1-2-3"])
def test_a_bad_range_is_refused(generated: Backend, text: str) -> None:
    assert "isn't a range of the CAR's" in error_of("cat", "delta/0", "--range", text, code=2)


def test_a_changed_source_is_named_and_nothing_wrong_is_written(generated: Backend, tmp_path: Path) -> None:
    path = generated.root / "data" / "b" / "c.bin"
    os.utime(path, ns=(1, 1))
    for arguments in (("export", "delta/0", "--to", str(tmp_path / "x.car")), ("cat", "delta/0")):
        done = process(generated, *arguments)
        assert done.returncode == 1
        assert f"{path} changed since the scan" in done.stderr.decode()
    assert os.listdir(tmp_path / "") == [name for name in os.listdir(tmp_path) if "x.car" not in name]


def test_rebuild_makes_a_lost_or_damaged_outline_again(generated: Backend) -> None:
    path = Path(one(generated).outline_path)
    before = path.read_bytes()
    assert "is there and whole" in ptolemy("rebuild", "delta/0").stderr
    path.unlink()
    assert "outline missing: ptolemy rebuild delta/0" in ptolemy("cars", "delta").stdout
    assert "ptolemy rebuild" in ptolemy("status", "delta").stderr
    assert "ptolemy rebuild delta/0" in error_of("cat", "delta/0")
    assert "outline was made again" in ptolemy("rebuild", "delta/0").stderr
    assert path.read_bytes() == before
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert "outline was made again" in ptolemy("rebuild", "delta/0").stderr
    assert path.read_bytes() == before


def test_commands_say_how_cars_are_stored(generated: Backend) -> None:
    (car,) = printed("cars", "delta")
    assert (car["car_storage"], car["in_staging"], car["dead_reason"]) == ("generated", True, None)
    assert "generated" in ptolemy("cars", "delta").stdout
    (status,) = printed("status", "delta")
    assert (status["car_storage"], status["dead"], status["missing"]) == ("generated", 0, 0)
    assert "new CARs are generated" in ptolemy("status", "delta").stderr
    assert {row["car_storage"] for row in printed("find", "b")} == {"generated"}
    assert [row["car_storage"] for row in printed("containerize", "delta", "--dry-run")] == []
    ptolemy("set", "delta", "--car-storage", "staged")
    (generated.root / "data" / "new").write_bytes(b"new")
    scan(generated.catalog, "delta")
    assert [row["car_storage"] for row in printed("containerize", "delta", "--dry-run")] == ["staged"]


def test_extract_takes_a_built_car_by_its_number(generated: Backend, tmp_path: Path) -> None:
    assert "b/c.bin" in ptolemy("extract", "delta/0", "--list").stdout
    ptolemy("extract", "delta/0", "--to", tmp_path / "out")
    for name, data in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert "no project" in error_of("extract", "nemo/0", "--list")
    (generated.root / "delta").mkdir()
    assert "has no built CAR 7" in error_of("extract", "delta/7", "--list")


@pytest.mark.slow
def test_a_dead_car_is_shown_everywhere_and_the_rest_is_stored_again(generated: Backend) -> None:
    (generated.root / "data" / "a.txt").write_bytes(b"another")
    said = ptolemy("scan", "delta").stderr
    assert "CAR delta/0 can't be generated any more" in said
    assert "a.txt" in said
    (reason,) = printed("scan", "delta")["dead"] or [said]
    assert "a.txt" in reason
    assert "dead: " in ptolemy("cars", "delta").stdout
    assert "1 generated CAR is dead" in ptolemy("status", "delta").stderr
    assert "a.txt" in error_of("cat", "delta/0")
    again = ptolemy("run", "delta")
    assert "Traceback" not in again.output
    dead, new = printed("cars", "delta")
    assert dead["dead_reason"]
    assert (new["dead_reason"], new["items"]) == (None, 3)
    assert printed("verify", "delta")["dead"] == 1
    (found,) = printed("find", "d", "-p", "delta")
    assert found["container"] == 1
