"""The engine changes nothing of its process that the caller didn't ask for."""

import ast
import gc
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import ptolemy_core
from ptolemy_core import Extraction, build_car, compute_layout, scan_path
from ptolemy_core.garbage import fewer_collections
from ptolemy_core.open_files import allow_open_files
from ptolemy_core.restore import CarsError

CORE = Path(ptolemy_core.__file__).parent
OPT_IN = {"setrlimit": "open_files.py", "set_threshold": "garbage.py"}


@pytest.mark.parametrize(("name", "module"), OPT_IN.items())
def test_what_changes_the_process_is_in_a_module_that_programs_call_themselves(
    name: str, module: str
) -> None:
    users = [
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == name
    ]
    assert set(users) == {module}
    importers = [
        path.name
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and any(alias.name in ("allow_open_files", "fewer_collections") for alias in node.names)
    ]
    assert importers == []


def test_a_whole_project_leaves_limits_and_the_garbage_collector_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"alpha")
    code = f"""
import gc, resource, runpy, sys
seen = []
def state():
    return gc.get_threshold(), gc.isenabled(), resource.getrlimit(resource.RLIMIT_NOFILE)
from ptolemy_core.source.posix import PosixSource
inner = PosixSource.listed
def watched(*args, **options):
    for batch in inner(*args, **options):
        seen.append(state())
        yield batch
PosixSource.listed = watched
before = state()
sys.argv = ["run_project.py", {str(tmp_path / "data")!r}, {str(tmp_path / "state")!r}]
try:
    runpy.run_path({str(CORE.parent / "examples" / "run_project.py")!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
assert seen, "the scan wasn't watched"
assert {{before, state(), *seen}} == {{before}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_more_cars_than_may_be_open_are_an_error_that_says_how_to_raise_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"alpha")
    items, inputs = scan_path(os.fsencode(tmp_path / "a"))
    car = build_car(compute_layout(items), inputs, str(tmp_path), "x.part")
    path = tmp_path / car.file_name
    code = f"""
import resource
from ptolemy_core import Extraction
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
cars = [{str(path)!r}] * 150
try:
    Extraction(cars)
except Exception as error:
    print(type(error).__name__, error)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 300)
from ptolemy_core.open_files import allow_open_files
allow_open_files(len(cars))
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
with Extraction(cars) as extraction:
    print(len(list(extraction.entries(print))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    error, count = done.stdout.splitlines()
    assert error.startswith("CarsError ")
    assert "150 CARs" in error
    assert "ulimit -n 2198" in error
    assert count == "1"


def test_fewer_collections_ends_with_its_block() -> None:
    before = gc.get_threshold()
    with fewer_collections():
        assert gc.get_threshold()[0] >= 50_000
    assert gc.get_threshold() == before


def test_a_limit_that_is_high_enough_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_open_files(0)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) >= before


def test_a_car_that_is_not_there_is_still_named() -> None:
    with pytest.raises(CarsError, match=r"nowhere\.car can't be read"):
        Extraction(["nowhere.car"])


def test_the_command_line_raises_the_limit_of_open_files_for_many_cars(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"alpha")
    items, inputs = scan_path(os.fsencode(tmp_path / "a"))
    car = build_car(compute_layout(items), inputs, str(tmp_path), "x.part")
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
sys.argv = ["ptolemy", "extract", "--list", *[{str(tmp_path / car.file_name)!r}] * 150]
from ptolemy_dagster.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "file" in done.stdout
