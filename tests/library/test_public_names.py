"""The public API of ptolemy_core, and the documentation that shows it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ptolemy_core

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "library.md").read_text("utf-8")
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a folder `photos` in it."""
    (tmp_path / "photos" / "2019").mkdir(parents=True)
    (tmp_path / "photos" / "2019" / "a.jpg").write_bytes(b"a picture")
    (tmp_path / "photos" / "b.bin").write_bytes(bytes(3_000_000))
    return tmp_path


def run(code: str, cwd: Path) -> str:
    """What a program prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ptolemy_core.__all__)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(ptolemy_core, name)
    assert value.__doc__
    assert re.search(rf"^\| `{name}\b", PAGE, re.MULTILINE), f"{name} isn't in the table of docs/library.md"


def test_the_page_lists_no_other_names() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)", row)) == sorted(ptolemy_core.__all__)


def test_type_checkers_see_the_names_that_programs_get() -> None:
    tree = ast.parse(Path(ptolemy_core.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    static = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in imports
        for alias in node.names
        if node.module and node.module.startswith("ptolemy_core.")
    }
    assert sorted(static) == sorted(ptolemy_core.__all__)
    for name, (module, attribute) in static.items():
        assert module is not None
        __import__(module)
        assert getattr(sys.modules[module], attribute) is getattr(ptolemy_core, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'rootcid'"):
        ptolemy_core.rootcid  # noqa: B018


def test_importing_the_package_imports_only_parts_of_python(folder: Path) -> None:
    code = """
import sys
import ptolemy_core
print({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
print([name for name in sys.modules if name.startswith("ptolemy_core")])
"""
    others, own = run(code, folder).splitlines()
    assert {name for name in ast.literal_eval(others) if not name.startswith("_")} == {"ptolemy_core"}
    assert ast.literal_eval(own) == ["ptolemy_core"]


def test_hashing_a_piece_imports_no_sqlalchemy_and_no_pydantic(folder: Path) -> None:
    code = """
import sys
from ptolemy_core import PieceCommitment
print([name for name in ("sqlalchemy", "pydantic") if name in sys.modules])
"""
    assert run(code, folder) == "[]\n"


def test_the_example_of_the_readme_runs_and_stands_on_the_page_too(folder: Path) -> None:
    [example] = _PYTHON.findall(README)
    assert example in _PYTHON.findall(PAGE)
    lines = run(example, folder).splitlines()
    assert [line[:7] for line in lines] == ["bafybei", "baga6ea", "bafkzci"]


def test_the_examples_of_the_page_run(folder: Path) -> None:
    run("\n".join(_PYTHON.findall(PAGE)), folder)
    assert (folder / "restored" / "2019" / "a.jpg").read_bytes() == b"a picture"
