"""docs/schemas is generated from the models, and says the same of the same field everywhere."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]


def schemas() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schemas", ROOT / "docs" / "schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def properties(schema: Any) -> list[tuple[str, Any]]:
    """All properties of a schema and of its definitions."""
    models = [schema, *schema.get("$defs", {}).values()]
    return [pair for model in models for pair in model.get("properties", {}).items()]


def test_published_schemas_are_those_of_the_models() -> None:
    made = schemas()
    assert {path.stem for path in made.FOLDER.glob("*.json")} == set(made.SCHEMAS)
    for name in made.SCHEMAS:
        text = (made.FOLDER / f"{name}.json").read_text("utf-8")
        assert text == made.schema_of(name), "run: python docs/schemas.py"


def test_every_time_is_iso_8601_text_and_has_no_other_form() -> None:
    for name in schemas().SCHEMAS:
        schema = json.loads(schemas().schema_of(name))
        for field, declared in properties(schema):
            if field.endswith("_at") or field in ("at", "since"):
                kinds = declared.get("anyOf", [declared])
                assert {kind.get("format", kind["type"]) for kind in kinds} <= {"date-time", "null"}, field


def test_the_same_field_has_the_same_type_wherever_it_is() -> None:
    seen: dict[str, Any] = {}
    for name in schemas().SCHEMAS:
        for field, declared in properties(json.loads(schemas().schema_of(name))):
            if field.endswith(("_cid", "_cid_v2", "_bytes", "_size", "_at", "_name", "_id")):
                types = {json.dumps(kind.get("type")) for kind in declared.get("anyOf", [declared])} - {
                    '"null"'
                }
                assert seen.setdefault(field, types) == types, (name, field)
