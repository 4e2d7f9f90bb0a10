"""The documentation: it builds without a warning, fetches nothing, lists all commands, and its examples run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.padding import padding_warning
from ptolemy_dagster.cli.app import loaded
from tests.pipeline.backend import REPOSITORY, Backend

DOCS = REPOSITORY / "docs"
_TESTED = re.compile(r"^<!-- tested -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def load(name: str) -> Any:
    """A script of docs, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


hooks, tables, charts = load("hooks"), load("tables"), load("charts")


@pytest.mark.slow
def test_it_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|source|iframe)\b[^>]*\bsrc="?([^" >]+)', text)
        loaded += re.findall(
            r'<link\b(?=[^>]*rel="?(?:stylesheet|preconnect|icon))[^>]*\bhref="?([^" >]+)', text
        )
        assert loaded
        assert [url for url in loaded if re.match("(https?:)?//", url)] == [], page.name


@pytest.mark.slow
@pytest.mark.parametrize("page", [p.name for p in DOCS.glob("*.md") if _TESTED.search(p.read_text("utf-8"))])
def test_examples_run(sqlite: Backend, page: str) -> None:
    examples = _TESTED.findall((DOCS / page).read_text("utf-8"))
    assert examples
    commands = sqlite.root / "bin"
    commands.mkdir()
    ptolemy = commands / "ptolemy"
    ptolemy.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from ptolemy_dagster.cli import main; main()" "$@"\n'
    )
    ptolemy.chmod(0o755)
    folder = sqlite.root / "here"
    folder.mkdir()
    env = {**sqlite.env, "PATH": f"{commands}:{sqlite.env['PATH']}", "HOME": str(folder)}
    script = "set -eux\n" + "\n".join(examples)
    done = subprocess.run(
        ["sh", "-c", script], env=env, cwd=folder, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorial_is_tested() -> None:
    assert "ptolemy blitz photos" in "".join(_TESTED.findall((DOCS / "tutorial.md").read_text("utf-8")))


def test_the_page_of_commands_has_each_command_with_each_option() -> None:
    page = tables.commands_page()
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ptolemy ")[1:]}
    commands = loaded().commands
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        for below, one in getattr(command, "commands", {}).items():
            part = sections[name].partition(f"\n### ptolemy {name} {below}\n")[2].partition("\n### ")[0]
            assert one.help.split(".")[0] in part.replace("\n", " ")
            assert [o for p in one.params for o in p.opts if f"`{o}`" not in part and o[:2] == "--"] == []
        assert command.help.split(".")[0] in sections[name].replace("\n", " ")
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert (
                    f"`{option}`" in sections[name]
                    or f", {option}`" in sections[name]
                    or (f"`{option}, " in sections[name])
                ), (name, option)


@pytest.mark.parametrize("name", tables.PAGES)
def test_pages_made_from_the_code_are_as_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == tables.PAGES[name](), "run: python docs/tables.py"


@pytest.mark.parametrize("path", charts.charts(), ids=lambda path: path.stem)
def test_charts_show_the_figures_of_the_results(path: Path) -> None:
    assert path.read_text("utf-8") == charts.charts()[path], "run: python docs/charts.py"


def test_charts_show_medians_and_whose_they_are() -> None:
    results = (
        "\n### Peers: one file of 1024 MiB\n\n| tool | makes | CPU s/GiB |\n| - | - | - |\n"
        "| ptolemy | CAR | 2.20 |\n| other | CAR | 9.28 (9.12..9.42) |\n\n### Next\n\n| x |\n"
    )
    bars = charts.peers("Peers: one file of 1024 MiB")(results)
    assert [(bar.label, bar.figure, bar.ours) for bar in bars] == [
        ("ptolemy: CAR", "2.20", True),
        ("other: CAR", "9.28", False),
    ]


def test_the_table_of_sizes_is_right() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in tables.sizes_table().splitlines()[2:]
    ]
    assert [int(row[0]) for row in rows] == list(range(1, 32))
    by_size = {int(row[0]): row for row in rows}
    # a 16 GiB piece holds 16 * 127/128 GiB: data of 15 GiB fits, of 16 doesn't
    assert by_size[31][1:] == ["32", "3.1%", "34", "pads well"]
    assert by_size[16][1:] == ["32", "50.0%", "64", ""]
    assert by_size[15][1:4] == ["16", "6.2%", "69"]
    assert by_size[7][1:4] == ["8", "12.5%", "147"]
    assert by_size[1][1:] == ["2", "50.0%", "1024", ""]
    for size, row in by_size.items():
        assert (row[4] == "pads well") == (padding_warning(size) is None)


def test_the_page_of_benchmarks_is_the_measured_results() -> None:
    page = hooks.benchmarks_page()
    assert page.startswith("# Benchmarks\n")
    assert page.splitlines()[-1] == (REPOSITORY / "bench/RESULTS.md").read_text("utf-8").splitlines()[-1]


def test_each_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    assert [page.name for page in DOCS.glob("*.md") if f": {page.name}\n" not in navigation + "\n"] == []
