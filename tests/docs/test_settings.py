"""A setting is declared once: everything that offers settings agrees with that declaration."""

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from ptolemy_core.catalog.schema import project as project_table
from ptolemy_core.project import Project
from ptolemy_core.settings import CHANGEABLE, SETTINGS
from ptolemy_dagster.cli.settings import set_command
from ptolemy_dagster.cli.stages import create
from ptolemy_dagster.http.projects import ProjectOut
from ptolemy_dagster.project_config import ProjectSettings

ROOT = Path(__file__).parents[2]


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_has_a_description_that_fits_a_help_text() -> None:
    for setting in SETTINGS.values():
        assert setting.description, setting.name
        assert not setting.description.endswith("."), setting.name


def test_catalog_has_a_column_for_each_setting() -> None:
    assert {column.name for column in project_table.columns} == {*Project.model_fields, "created_at"}


def test_create_has_an_option_for_each_setting_with_its_default() -> None:
    options = inspect.signature(create).parameters
    assert set(options) - {"project", "as_json"} == set(SETTINGS) - {"name"}
    for name, setting in SETTINGS.items():
        if name != "name" and not setting.required:
            assert options[name].default == setting.default, name


def test_set_has_an_option_for_each_setting_that_may_change() -> None:
    lists = {f"no_{name}" for name in CHANGEABLE if SETTINGS[name].type == list[str]}
    options = set(inspect.signature(set_command).parameters)
    assert options - {"project", "as_json", "accept_loss"} == {*CHANGEABLE, *lists}


def test_dagster_configuration_has_each_setting_with_its_default() -> None:
    fields = ProjectSettings.model_fields
    assert list(fields) == list(SETTINGS)
    for name, setting in SETTINGS.items():
        assert fields[name].is_required() == setting.required, name
        assert setting.required or fields[name].default == setting.default, name


def test_http_answers_have_each_setting() -> None:
    assert set(ProjectOut.model_fields) == {*SETTINGS, "warning"}


@pytest.mark.parametrize("name", ["settings", "sizes"])
def test_tables_of_the_documentation_are_made_from_the_code(name: str) -> None:
    page, text = tables().updated(name)
    assert page.read_text() == text, "run: python docs/tables.py"


def test_every_environment_variable_is_documented() -> None:
    documented = set(
        re.findall(r"`((?:PTOLEMY|DAGSTER)_[A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text())
    )
    used = set()
    for package in ("ptolemy_core", "ptolemy_dagster"):
        for path in (ROOT / package).rglob("*.py"):
            used |= set(re.findall(r"\"(PTOLEMY_[A-Z0-9_]+|DAGSTER_HOME)\"", path.read_text()))
    assert used - documented == set()
