"""What one step hands to the next is stored as JSON: nothing that is read from the database can run code."""

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

import ptolemy_core
import ptolemy_dagster
from ptolemy_core.catalog import handover
from ptolemy_core.catalog.schema import handover as table
from ptolemy_dagster.handover import CatalogIOManager
from ptolemy_dagster.resources import CatalogResource
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files

RUN_CODE = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
OWN_FILES = {("spill.py", "marshal"), ("sorted_runs.py", "marshal")}
"""Read back what the same process wrote into a file that has no name; marshal makes plain values of it."""

RAN: list[str] = []


class Evil:
    """Leaves a trace if it is unpickled."""

    def __reduce__(self) -> Any:
        return RAN.append, ("unpickled",)


def contexts(value: Any) -> tuple[dg.OutputContext, dg.InputContext]:
    out = dg.build_output_context(step_key="pending", name="result", run_id="run")
    return out, dg.build_input_context(upstream_output=out)


def imports(package: Any) -> Iterator[tuple[str, str]]:
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, node.module or ""


@pytest.mark.parametrize("package", [ptolemy_core, ptolemy_dagster])
def test_no_module_imports_what_runs_code_when_it_reads(package: Any) -> None:
    found = [one for one in imports(package) if one[1].partition(".")[0] in RUN_CODE]
    assert [one for one in found if one not in OWN_FILES] == []


def test_a_blitz_hands_over_json(backend: Backend, instance: Any) -> None:
    backend.define(target=backend.folder(files=tiny_files(3)), instance=instance)
    plan_small(backend.catalog, "delta", 3100)
    assert in_process("blitz", "delta", instance).success
    with backend.catalog.read() as connection:
        stored = {
            key: json.loads(value) for key, value in connection.execute(sa.select(table.c.key, table.c.value))
        }
    numbers = [number for value in stored.values() if isinstance(value, list) for number in value]
    batches = [value for value in stored.values() if isinstance(value, dict)]
    assert sorted(numbers) == [0, 1, 2]
    assert sum(batch["built"] for batch in batches) == 3
    assert len(stored) == 2 * len(batches)


@pytest.mark.parametrize("value", [None, True, 3, "text", [1, 2], {"a": [None, 1.5]}, "κόσμε"])
def test_json_values_come_back_as_they_were(backend: Backend, value: Any) -> None:
    manager = CatalogIOManager(catalog=CatalogResource())
    out, back = contexts(value)
    manager.handle_output(out, value)
    assert manager.load_input(back) == value


@pytest.mark.parametrize("value", [{1: "a"}, (1, 2), {"a": (1,)}, b"bytes", {1, 2}, float("nan"), object()])
def test_a_value_that_json_would_change_is_refused(sqlite: Backend, value: Any) -> None:
    manager = CatalogIOManager(catalog=CatalogResource())
    with pytest.raises((TypeError, ValueError)):
        manager.handle_output(contexts(value)[0], value)


def test_what_an_older_version_pickled_is_refused_and_does_not_run(sqlite: Backend) -> None:
    out, back = contexts(None)
    handover.put(CatalogResource().open(), "/".join(out.get_identifier()), pickle.dumps(Evil()))
    with pytest.raises(dg.Failure, match="start the run again"):
        CatalogIOManager(catalog=CatalogResource()).load_input(back)
    assert RAN == []
