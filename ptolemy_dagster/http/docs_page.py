"""The OpenAPI description as a page that needs no script and nothing from other servers."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "pre{background:#f4f4f4;padding:.6em;overflow-x:auto}code{background:#f4f4f4}h2{margin-top:2em}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}"
    "summary{cursor:pointer}"
)


def render(schema: dict[str, Any]) -> str:
    """The page."""
    info = schema["info"]
    body = "".join(
        _operation(path, method, operation, schema)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} API {escape(info['version'])}</h1>"
        f'<p>{escape(info["description"])}</p><p>For programs: <a href="/openapi.json">openapi.json</a></p>{body}'
        "</html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schema: dict[str, Any]) -> str:
    out = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    ]
    parameters = operation.get("parameters", [])
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}"
            f"{', required' if one.get('required') else ''}</td><td>{escape(_type(one['schema']))}</td>"
            f"<td>{escape(one.get('description', ''))}</td></tr>"
            for one in parameters
        )
        out.append(f"<table><tr><th>name</th><th>in</th><th>values</th><th></th></tr>{rows}</table>")
    body = operation.get("requestBody")
    if body:
        given = body["content"]["application/json"]["schema"]
        out.append(f"<p>Body:</p><pre>{escape(json.dumps(given.get('example'), indent=2))}</pre>")
    for status, answer in operation["responses"].items():
        out.append(_answer(status, answer, schema))
    return "".join(out)


def _answer(status: str, answer: dict[str, Any], schema: dict[str, Any]) -> str:
    contents = list(answer.get("content", {}).items())
    head = f"<b>{status}</b> {escape(answer['description'])}"
    if not contents:
        return f"<p>{head}</p>"
    media, content = contents[0]
    shown = content.get("example", example(content.get("schema", {}), schema))
    text = escape(json.dumps(shown, indent=2, ensure_ascii=False))
    return f"<details><summary>{head} <code>{media}</code></summary><pre>{text}</pre></details>"


def example(part: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A value of a part of the schema: its own example, else one made of its types."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[1]
        return example(schema["components"]["schemas"][name], schema)
    for value in _own_examples(part):
        return value
    if "anyOf" in part:
        return example(part["anyOf"][0], schema)
    kind = part.get("type")
    if kind == "object":
        return {name: example(inner, schema) for name, inner in part.get("properties", {}).items()}
    if kind == "array":
        return [example(part["items"], schema)]
    return {"string": "text", "integer": 1, "number": 1.5, "boolean": True}.get(str(kind))


def _own_examples(part: dict[str, Any]) -> Iterator[Any]:
    for name in ("example", "const", "default"):
        if part.get(name) is not None:
            yield part[name]
    yield from part.get("examples", [])
    yield from part.get("enum", [])


def _type(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_type(inner) for inner in part["anyOf"] if inner.get("type") != "null")
    limits = [f"{part[k]}" for k in ("minimum", "maximum") if k in part]
    return f"{part.get('type', 'any')}{' ' + ' to '.join(limits) if limits else ''}"
