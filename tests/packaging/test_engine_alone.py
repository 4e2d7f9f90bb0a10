"""The engine imports and works where Dagster, web servers and the rest of the pipeline can't be imported."""

import re
import subprocess
import sys
from pathlib import Path

from tests.packaging.requirements import ALL, ENGINE, ROOT, foreign_modules, name_of


def test_the_engine_builds_verifies_and_extracts_with_its_own_requirements_only(tmp_path: Path) -> None:
    blocked = foreign_modules()
    assert {"dagster", "dagster_postgres", "fastapi", "typer", "uvicorn", "psycopg2", "pyarrow"} <= blocked
    assert not blocked & {
        "numpy",
        "sqlalchemy",
        "pydantic",
        "alembic",
        "mmh3",
        "multiformats",
        "cryptography",
    }
    script = Path(__file__).with_name("engine_alone.py")
    command = [sys.executable, str(script), str(ROOT / "examples"), str(tmp_path), *sorted(blocked)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done"
    count = int(re.search(r"^modules: (\d+)$", done.stdout, re.MULTILINE)[1])  # type: ignore[index]
    assert count >= len(list((ROOT / "ptolemy_core").glob("*/*.py")))
    assert re.search(r"^parquet: .*needs PyArrow.*pip install pyarrow", done.stdout, re.MULTILINE)
    assert "default: csv" in done.stdout.splitlines(), "without PyArrow, CSV is what a manifest is written as"


def test_what_the_engine_needs_is_part_of_what_the_project_needs() -> None:
    assert set(ENGINE) < set(ALL)


def test_the_page_says_what_the_engine_needs() -> None:
    page = (ROOT / "docs" / "library.md").read_text("utf-8")
    [line] = re.findall(r"^pip install (alembic .*)$", page, re.MULTILINE)
    assert line.split() == sorted(map(name_of, ENGINE))
