"""Functions stay small: at most seven parameters outside the command line, at most sixty lines."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARAMETERS, LINES = 7, 60

MANY_PARAMETERS = {
    "ptolemy_dagster/http/files.py:files": "FastAPI takes each parameter of the query as one of the function",
}
MANY_LINES = {
    "ptolemy_core/catalog/migrations/versions/0001_first.py:upgrade": "a migration is never changed",
    "ptolemy_core/restore/dag.py:leaves": "one loop over a DAG, each condition of it once",
    "ptolemy_dagster/cli/extract.py:extract_command": "typer takes the options as parameters, each with its help",
}
"""Exceptions, with the reason. Take lines away, never add one for a function that could be split."""


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for package in ("ptolemy_core", "ptolemy_dagster"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)}:{node.name}", node


def count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = node.args
    named = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    return sum(one is not None and one.arg not in ("self", "cls") for one in named)


def test_no_function_outside_the_command_line_has_more_than_seven_parameters() -> None:
    found = {name for name, node in functions() if count(node) > PARAMETERS and "/cli/" not in name}
    assert found == set(MANY_PARAMETERS)


def test_no_function_has_more_than_sixty_lines_without_a_reason() -> None:
    found = {name for name, node in functions() if (node.end_lineno or 0) - node.lineno >= LINES}
    assert found == set(MANY_LINES)
