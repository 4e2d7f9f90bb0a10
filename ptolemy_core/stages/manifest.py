"""Manifests of a project or of one CAR: the rows, and the summary of CARs beside them."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from ptolemy_core.catalog import cars, projects, roots
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SettingsError, StageOrderError
from ptolemy_core.manifest import FORMATS, MANIFEST_SCHEMA, check_url
from ptolemy_core.manifest.rows import pages
from ptolemy_core.manifest.summary import car_facts, cars_csv, summary_json
from ptolemy_core.manifest.writers import sha256_of, whole_file, writer
from ptolemy_core.stages.order import Stage, require

FOLDER = "manifests"
"""Within the staging folder, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written: paths of the manifest, of the summary as JSON, and of its table; how many CARs and rows."""

    manifest: str
    summary: str
    table: str
    cars: int
    rows: int


def write_manifest(
    catalog: Catalog,
    name: str,
    *,
    form: str = "parquet",
    number: int | None = None,
    folder: str | None = None,
    url: str | None = None,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Write the manifest and the summary of a project's built CARs; older ones are replaced.

    Args:
        catalog: that holds the project.
        name: the project's.
        form: "parquet", "csv" or "jsonl".
        number: of the only container to write of.
        folder: for the files; `manifests` in the staging folder without it.
        url: template of where CARs can be fetched, with placeholders as `{piece_cid}`.
        profile: of the DAGs.
        progress: called with rows written since the last call.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: none of the asked CARs is built.
        SettingsError: no such format, or a template that can't be filled.
        StagingError: the folder can't be written.
    """
    project = projects.get(catalog, name)
    if form not in FORMATS:
        raise SettingsError(f"format must be {', '.join(FORMATS)}, got {form!r}")
    check_url(url)
    require(catalog, name, Stage.MANIFEST)
    built = list(cars.rows(catalog, name, number))
    if not built:
        raise StageOrderError.needs(name, f"has no CAR of container {number} built yet", Stage.BLITZ)
    place = os.path.abspath(folder or os.path.join(project.staging_dir, FOLDER))
    stem = os.path.join(place, name if number is None else cid.to_text(built[0].piece_cid_v1))
    path = f"{stem}.manifest.{form}"
    count = 0
    with (
        Reporter(catalog, name, Task(Work.MANIFEST), None) as reporter,
        whole_file(path) as file,
        writer(file, form, {"ptolemy.project": name}) as write,
    ):
        for car in built:
            for page in pages(catalog, car, profile):
                write(page)
                count += len(page)
                reporter.advance(len(page))
                if progress:
                    progress(len(page))
    about: dict[str, object] = {
        "file": os.path.basename(path),
        "schema": MANIFEST_SCHEMA,
        "rows": count,
        "sha256": sha256_of(path),
    }
    facts = car_facts(built, url)
    root = next(roots.rows(catalog, name), None)
    with whole_file(f"{stem}.cars.csv") as file:
        file.write(cars_csv(facts))
    with whole_file(f"{stem}.summary.json") as file:
        file.write(summary_json(project, facts, root, about, url))
    return Manifest(path, f"{stem}.summary.json", f"{stem}.cars.csv", len(built), count)
