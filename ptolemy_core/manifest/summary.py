"""The summary of CARs that a storage provider or a reviewer asks for: JSON with all facts, CSV with a line a CAR."""

import csv
import io
import json
import string
from collections.abc import Iterable, Mapping, Sequence

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.errors import SettingsError
from ptolemy_core.facts.cars import SummaryCarFacts, SummaryRootFacts
from ptolemy_core.facts.fields import Facts, Unit, field
from ptolemy_core.manifest.schema import SUMMARY_SCHEMA
from ptolemy_core.project import Project

PLACEHOLDERS = ("piece_cid", "piece_cid_v2", "payload_cid", "file_name", "project", "container")
_NAMING = {"piece_cid", "piece_cid_v2", "payload_cid", "file_name", "container"}
"""Placeholders that tell CARs apart."""


class ManifestFile(Facts):
    """The manifest that a summary belongs to."""

    file: str = field("file", "Its name.")
    schema_: str = field("schema", "Version of its columns.", alias="schema")
    rows: int = field("rows", "How many rows it has.")
    sha256: str = field("sha256", "SHA-256 of the file, hex.", Unit.HEX)


class Totals(Facts):
    """Sums over the CARs of a summary."""

    cars: int = field("CARs", "How many.")
    items: int = field("items", "Files, shards, links and empty folders in them.")
    data_bytes: int = field("data", "Bytes of files in them.", Unit.BYTES)
    car_size: int = field("CAR size", "Bytes of the CARs.", Unit.BYTES)
    piece_size: int = field("piece size", "Bytes of the padded pieces.", Unit.BYTES)


class Summary(Facts):
    """The summary of a project's CARs, or of one CAR."""

    schema_: str = field("schema", "Version of this summary.", alias="schema")
    project: str = field("project", "Name of the project.")
    shard_size_gib: int = field("shard size", "Files larger than this many GiB are split.")
    car_size_gib: int = field("CAR size", "GiB of data in a CAR at most.")
    manifest: ManifestFile = field("manifest", "The manifest beside it.")
    root: SummaryRootFacts | None = field("root", "The root of the data set; null: none is made yet.")
    totals: Totals = field("totals", "Sums over the CARs.")
    cars: list[SummaryCarFacts] = field("CARs", "All of them, by number.")


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


def url_of(template: str | None, facts: Mapping[str, object]) -> str | None:
    """Where a CAR can be fetched; None without a template. `facts` are a CAR's, or a root's, as text."""
    if template is None:
        return None
    values = {"payload_cid": facts.get("root_cid"), "container": "root", **facts}
    return template.format(**{name: values[name] for name in PLACEHOLDERS})


def car_facts(
    cars: Iterable[CarRow], template: str | None, stored_by: Mapping[bytes, list[str]]
) -> list[SummaryCarFacts]:
    """What the summary says of each CAR; `stored_by` has providers' addresses by piece CID v2."""
    out = []
    for row in cars:
        facts = SummaryCarFacts.of(row, url=None, stored_by=stored_by.get(row.piece_cid_v2, []))
        out.append(facts.changed(url=url_of(template, facts.as_json())))
    return out


def summary_json(
    project: Project,
    cars: Sequence[SummaryCarFacts],
    root: RootRow | None,
    manifest: ManifestFile,
    template: str | None,
) -> bytes:
    """The summary as JSON."""
    top = None
    if root is not None:
        top = SummaryRootFacts.of(root, url=None)
        top = top.changed(url=url_of(template, top.as_json()))
    value = Summary(
        schema_=SUMMARY_SCHEMA,
        project=project.name,
        shard_size_gib=project.shard_size,
        car_size_gib=project.car_size,
        manifest=manifest,
        root=top,
        totals=Totals(
            cars=len(cars),
            items=sum(car.items for car in cars),
            data_bytes=sum(car.data_bytes for car in cars),
            car_size=sum(car.car_size for car in cars),
            piece_size=sum(car.piece_size for car in cars),
        ),
        cars=list(cars),
    )
    return json.dumps(value.as_json(), indent=2, ensure_ascii=False).encode() + b"\n"


def cars_csv(cars: Sequence[SummaryCarFacts]) -> bytes:
    """A line for each CAR."""
    out = io.StringIO()
    table = csv.DictWriter(out, list(SummaryCarFacts.model_fields), lineterminator="\n")
    table.writeheader()
    table.writerows(car.as_json() | {"stored_by": " ".join(car.stored_by)} for car in cars)
    return out.getvalue().encode()
