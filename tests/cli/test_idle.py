"""What commands find out before they launch a run: that there is nothing to do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ptolemy_core.catalog import projects, scans
from ptolemy_core.stages.scan import is_unchanged
from ptolemy_dagster.cli.idle import seems_done
from tests.cli.commands import ptolemy
from tests.pipeline.backend import Backend
from tests.pipeline.processes import runs


def _change(backend: Backend) -> None:
    (backend.root / "data" / "a.txt").write_bytes(b"other")


def _add(backend: Backend) -> None:
    (backend.root / "data" / "new").write_bytes(b"")


def _remove_car(backend: Backend) -> None:
    (name,) = backend.cars()
    (backend.staging() / name).unlink()


def _remove_manifest(backend: Backend) -> None:
    (backend.staging() / "manifests" / "delta.manifest.parquet").unlink()


def _leave_out(backend: Backend) -> None:
    projects.change(backend.catalog, "delta", {"exclude": ["a.txt"]})


def test_run_launches_nothing_when_nothing_changed(delta: Backend) -> None:
    ptolemy("run", "delta")
    cars = delta.cars()
    again = ptolemy("run", "delta")
    said = (
        "nothing to do: nothing changed since the last scan, and the only CAR of delta is built and verified"
    )
    assert said in again.stderr
    assert next(iter(cars)).removesuffix(".car") in again.stdout
    assert len(runs(delta)) == 1


def test_a_run_that_ends_earlier_launches_nothing_after_a_whole_one(delta: Backend) -> None:
    ptolemy("run", "delta")
    for until in ("containerize", "blitz", "verify", "root", "manifest"):
        for option in (["--until", until], [f"--until={until}"]):
            assert seems_done(["run", "delta", *option])
        assert "nothing to do: nothing changed since" in ptolemy("run", "delta", "--until", until).stderr
    _add(delta)
    assert not seems_done(["run", "delta", "--until", "blitz"])
    assert len(runs(delta)) == 1


def test_root_launches_nothing_while_its_scan_is_the_last(delta: Backend) -> None:
    ptolemy("run", "delta")
    again = ptolemy("root", "delta")
    assert "nothing to do: the root of delta is of its last scan" in again.stderr
    assert "bafy" in again.stdout
    assert len(runs(delta)) == 1
    _add(delta)
    ptolemy("run", "delta")
    assert len(runs(delta)) == 2


def test_a_dry_run_of_a_plan_with_nothing_new_says_so_and_prints_no_empty_table(delta: Backend) -> None:
    ptolemy("run", "delta")
    shown = ptolemy("containerize", "delta", "--dry-run")
    assert shown.stdout == ""
    assert "nothing to do: every file of delta is in a container" in shown.stderr


@pytest.mark.parametrize(
    ("change", "code"),
    [(_change, 0), (_add, 0), (_remove_manifest, 0), (_leave_out, 0), (_remove_car, 1)],
)
def test_run_launches_a_run_when_something_changed(
    delta: Backend, change: Callable[[Backend], None], code: int
) -> None:
    ptolemy("run", "delta")
    change(delta)
    ptolemy("run", "delta", code=code)
    assert len(runs(delta)) == 2


def test_a_target_is_unchanged_until_a_scan_would_record_something(delta: Backend, tmp_path: Path) -> None:
    catalog = delta.catalog
    assert not is_unchanged(catalog, "delta", 100)  # never scanned
    ptolemy("scan", "delta")
    before = scans.last(catalog, "delta")
    assert is_unchanged(catalog, "delta", 100)
    assert scans.last(catalog, "delta") == before
    assert not is_unchanged(catalog, "delta", 1)  # too many to compare
    target = delta.root / "data"
    os.utime(target / "a.txt", ns=(1, 1))
    assert not is_unchanged(catalog, "delta", 100)
    ptolemy("scan", "delta")
    assert is_unchanged(catalog, "delta", 100)
    target.rename(delta.root / "away")
    assert not is_unchanged(catalog, "delta", 100)
