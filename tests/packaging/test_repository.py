"""What a contributor relies on: CONTRIBUTING.md names what exists, and hooks run what the lock file installs."""

import re

import yaml

from tests.packaging.requirements import PROJECT, ROOT, name_of

GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_table_of_places_names_what_exists_and_every_folder_of_the_engine() -> None:
    rows = [line for line in GUIDE.splitlines() if line.startswith("| ")]
    places = {place for row in rows for place in re.findall(r"`((?:ptolemy|docs|tests)[\w./]+)`", row)}
    assert [place for place in places if not (ROOT / place).exists()] == []
    folders = {f"ptolemy_core/{path.parent.name}/" for path in (ROOT / "ptolemy_core").glob("*/__init__.py")}
    assert folders <= places
    packages = {
        f"ptolemy_dagster/{path.parent.name}/" for path in (ROOT / "ptolemy_dagster").glob("*/__init__.py")
    }
    assert packages <= places | {"ptolemy_dagster/sensors/"}


def test_hooks_are_local_and_run_tools_that_the_lock_file_installs() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [one["repo"] for one in repositories] == ["local"]
    tools = {hook["entry"].split()[0] for hook in repositories[0]["hooks"]}
    assert tools == {".venv/bin/ruff", ".venv/bin/codespell", ".venv/bin/mypy", ".venv/bin/lint-imports"}
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")
    for name in ("ruff", "codespell", "mypy", "import-linter"):
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name


def test_each_dependency_is_locked() -> None:
    for file, needed in (
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-dev.lock", PROJECT["project"]["optional-dependencies"]["dev"]),
    ):
        lock = (ROOT / file).read_text("utf-8")
        locked = {
            name.lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE)
        }
        assert {name_of(one) for one in needed} <= locked


def test_pyarrow_is_needed_for_parquet_alone() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert [name for name, needed in extras.items() if "pyarrow" in map(name_of, needed)] == [
        "parquet",
        "dev",
    ]
    assert "pyarrow" not in map(name_of, PROJECT["project"]["dependencies"])
    assert "\npyarrow==" not in (ROOT / "requirements.lock").read_text("utf-8")


def test_both_licences_are_there_in_full() -> None:
    apache = (ROOT / "LICENSE-APACHE").read_text("utf-8")
    assert "Version 2.0, January 2004" in apache
    assert "END OF TERMS AND CONDITIONS" in apache
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in (ROOT / "LICENSE-MIT").read_text("utf-8")
    assert PROJECT["project"]["license"] == "MIT OR Apache-2.0"
