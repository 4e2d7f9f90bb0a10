"""Which module may import which: the rules of pyproject.toml hold, and would notice a breach."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
LINT = Path(sys.executable).with_name("lint-imports")


def lint(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LINT, "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, timeout=120
    )


def copy(to: Path) -> Path:
    """The packages and the rules, without anything else."""
    for package in ("ptolemy_core", "ptolemy_dagster"):
        shutil.copytree(
            ROOT / package, to / package, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.c")
        )
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


def test_the_import_rules_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_each_folder_of_the_engine_has_its_place() -> None:
    folders = next(rule for rule in RULES["contracts"] if rule["id"] == "folders")
    listed = {name.strip("()") for layer in folders["layers"] for name in layer.split(" : ")}
    there = {path.parent.name for path in (ROOT / "ptolemy_core").glob("*/__init__.py")}
    assert there <= listed
    assert folders["exhaustive"] is True


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        (
            "ptolemy_core/tree/paths.py",
            "from ptolemy_core.source import walk",
            "ptolemy_core.tree is not allowed",
        ),
        ("ptolemy_core/reader/car.py", "from ptolemy_core.dag import unixfs", "ptolemy_core.dag.unixfs"),
        ("ptolemy_core/errors.py", "import dagster", "not allowed to import dagster"),
        ("ptolemy_dagster/show.py", "import fastapi", "not allowed to import fastapi"),
        ("ptolemy_core/stages/verify.py", "import sqlalchemy", "not allowed to import sqlalchemy"),
        ("ptolemy_core/helpers.py", "", "ptolemy_core.helpers"),
    ],
)
def test_a_breach_is_named(tmp_path: Path, module: str, line: str, rule: str) -> None:
    root = copy(tmp_path)
    with (root / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint(root)
    assert done.returncode != 0
    assert rule in done.stdout + done.stderr
