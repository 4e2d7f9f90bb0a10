"""The summary of CARs that a storage provider or a reviewer asks for: JSON with all facts, CSV with a line a CAR."""

import csv
import io
import json
import string
from collections.abc import Iterable, Sequence
from typing import Any

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.errors import SettingsError
from ptolemy_core.manifest.schema import SUMMARY_SCHEMA
from ptolemy_core.project import Project

PLACEHOLDERS = ("piece_cid", "piece_cid_v2", "payload_cid", "file_name", "project", "container")
_NAMING = {"piece_cid", "piece_cid_v2", "payload_cid", "file_name", "container"}
"""Placeholders that tell CARs apart."""


def check_url(template: str | None) -> None:
    """See that a template of URLs can be filled.

    Raises:
        SettingsError: it has no or an unknown placeholder, or its braces don't fit.
    """
    if template is None:
        return
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(
            f"--url {template!r} can't be read ({error}): write a literal brace twice"
        ) from None
    used = {name for _, name, _, _ in parts if name is not None}
    unknown = sorted(used - set(PLACEHOLDERS)) + [rest for _, _, a, b in parts for rest in (a, b) if rest]
    if unknown or not used & _NAMING:
        wrong = f"has {{{unknown[0]}}}" if unknown else "is the same for all CARs"
        raise SettingsError(
            f"--url {template!r} {wrong}: use {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}, "
            "as in https://example.com/{piece_cid}.car"
        )


def url_of(template: str | None, facts: dict[str, object]) -> str | None:
    """Where a CAR can be fetched; None without a template. `facts` are a CAR's, or a root's, as text."""
    if template is None:
        return None
    values = {"payload_cid": facts.get("root_cid"), "container": "root", **facts}
    return template.format(**{name: values[name] for name in PLACEHOLDERS})


def car_facts(cars: Iterable[CarRow], template: str | None) -> list[dict[str, Any]]:
    """A dictionary for each CAR."""
    return [facts | {"url": url_of(template, facts)} for facts in (car.as_text() for car in cars)]


def summary_json(
    project: Project,
    cars: Sequence[dict[str, Any]],
    root: RootRow | None,
    manifest: dict[str, object],
    template: str | None,
) -> bytes:
    """The summary as JSON."""
    top = None
    if root is not None:
        top = root.as_text() | {"url": url_of(template, root.as_text())}
    totals = {"cars": len(cars)}
    for name in ("items", "data_bytes", "car_size", "piece_size"):
        totals[name] = sum(car[name] for car in cars)
    value = {
        "schema": SUMMARY_SCHEMA,
        "project": project.name,
        "shard_size_gib": project.shard_size,
        "car_size_gib": project.car_size,
        "manifest": manifest,
        "root": top,
        "totals": totals,
        "cars": cars,
    }
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def cars_csv(cars: Sequence[dict[str, Any]]) -> bytes:
    """A line for each CAR."""
    out = io.StringIO()
    table = csv.DictWriter(out, list(cars[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(cars)
    return out.getvalue().encode()
