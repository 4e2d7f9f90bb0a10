"""Manifests of a project or of one CAR: the rows, and the summary of CARs beside them.

`load` reads what a manifest needs beside its rows, `work` writes the files and needs no catalog; there is nothing to
record.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from ptolemy_core.catalog import cars, projects, replicas, roots
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SettingsError, StageOrderError, StagingError
from ptolemy_core.keys import WrappedKey, configured_keys
from ptolemy_core.manifest import FOLDER, FORMATS, MANIFEST_SCHEMA, check_url, default_format
from ptolemy_core.manifest.rows import Page, pages
from ptolemy_core.manifest.schema import ENDING
from ptolemy_core.manifest.sealed import sealed
from ptolemy_core.manifest.summary import ManifestFile, car_facts, cars_csv, summary_json
from ptolemy_core.manifest.writers import sha256_of, whole_file, writer
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.stages.keys_file import keep_keys_file
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.project_keys import ensure_data_keys


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written: paths of the manifest, of the summary as JSON, and of its table; how many CARs and rows.

    `keys` is the path of the wrapped data keys of an encrypted project.
    """

    manifest: str
    summary: str
    table: str
    cars: int
    rows: int
    keys: str | None = None


@dataclass(frozen=True, slots=True)
class ManifestOptions:
    """How a manifest is written.

    Attributes:
        form: "parquet", "csv" or "jsonl"; Parquet needs PyArrow.
        folder: for the files; `manifests` in the staging folder without it.
        url: template of where CARs can be fetched, with placeholders as `{piece_cid}`.
        plain: don't encrypt the manifest of an encrypted project.
    """

    form: str = field(default_factory=default_format)
    folder: str | None = None
    url: str | None = None
    plain: bool = False


_USUAL = ManifestOptions()


@dataclass(frozen=True, slots=True)
class ManifestJob:
    """All that a manifest needs beside its rows.

    Attributes:
        project: its settings.
        cars: that it lists.
        root: of the data set, if it is built.
        options: how to write it.
        stem: path of the files, without their endings.
        wrapped: data keys of an encrypted project.
        stored_by: addresses of the providers with an active deal, by piece CID v2.
    """

    project: Project
    cars: tuple[CarRow, ...]
    root: RootRow | None
    options: ManifestOptions
    stem: str
    wrapped: tuple[WrappedKey, ...] = ()
    stored_by: Mapping[bytes, list[str]] = field(default_factory=dict)


def write_manifest(
    catalog: Catalog,
    name: str,
    options: ManifestOptions = _USUAL,
    *,
    number: int | None = None,
    profile: Profile = UNIXFS_V1_2025,
    progress: Progress | None = None,
) -> Manifest:
    """Write the manifest and the summary of a project's built CARs; older ones are replaced.

    Args:
        catalog: where the project is.
        name: the project's.
        options: how to write it.
        number: of the only container to write of.
        profile: of the DAGs.
        progress: called with rows written since the last call.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: none of the asked CARs is built.
        SettingsError: no such format, or a template that can't be filled.
        StagingError: the folder can't be written.
    """
    job = load(catalog, name, options, number)
    with Reporter(catalog, name, Task(Work.MANIFEST), None) as reporter:

        def report(rows: int) -> None:
            reporter.advance(rows)
            if progress:
                progress(rows)

        return work(job, all_pages(catalog, job, profile), report)


def written_manifest(project: Project) -> str | None:
    """Path of the newest manifest of a project in its staging folder; None if there is none."""
    folder = os.path.join(project.local_dir, FOLDER)
    names = [f"{project.name}.manifest.{form}{end}" for form in FORMATS for end in ("", ENDING)]
    paths = [os.path.join(folder, name) for name in names]
    there = [path for path in paths if os.path.isfile(path)]
    return max(there, key=os.path.getmtime) if there else None


def load(catalog: Catalog, name: str, options: ManifestOptions, number: int | None = None) -> ManifestJob:
    """Read what a manifest needs; raises as `write_manifest`."""
    project = projects.get(catalog, name)
    if options.form not in FORMATS:
        raise SettingsError(f"format must be {', '.join(FORMATS)}, got {options.form!r}")
    check_url(options.url)
    require(catalog, name, Stage.MANIFEST)
    built = tuple(cars.rows(catalog, name, number))
    if not built:
        raise StageOrderError.needs(name, f"has no CAR of container {number} built yet", Stage.BLITZ)
    folder = os.path.abspath(options.folder or os.path.join(project.local_dir, FOLDER))
    stem = os.path.join(folder, name if number is None else cid.to_text(built[0].piece_cid_v1))
    root = next(roots.rows(catalog, name), None)
    stored_by = replicas.stored_by(catalog, [row.piece_cid_v2 for row in built])
    return ManifestJob(project, built, root, options, stem, ensure_data_keys(catalog, project), stored_by)


def usual_path(project: Project) -> str:
    """Where a project's manifest is written if nothing else is said."""
    folder = os.path.join(os.path.abspath(project.local_dir), FOLDER)
    ending = ENDING if project.is_encrypted else ""
    return os.path.join(folder, f"{project.name}.manifest.{_USUAL.form}{ending}")


def all_pages(catalog: Catalog, job: ManifestJob, profile: Profile) -> Iterator[Page]:
    """The rows of all CARs of a manifest, some thousands at a time."""
    for car in job.cars:
        yield from pages(catalog, car, profile)


def work(job: ManifestJob, rows: Iterable[Page], progress: Progress) -> Manifest:
    """Write a manifest and its summary. It needs no catalog.

    Args:
        job: what to write.
        rows: of the manifest, page by page.
        progress: called with rows written since the last call.

    Raises:
        SettingsError: Parquet is asked for, and PyArrow isn't installed.
        StagingError: the folder can't be written.
        EncryptionError: the key of an encrypted project isn't there.
    """
    form, url, stem = job.options.form, job.options.url, job.stem
    encrypt = bool(job.wrapped) and not job.options.plain
    path = f"{stem}.manifest.{form}{ENDING if encrypt else ''}"
    count = 0
    with ExitStack() as files:
        file = files.enter_context(whole_file(path))
        if encrypt:
            file = files.enter_context(sealed(file, form, job.wrapped, configured_keys()))
        write = files.enter_context(writer(file, form, {"ptolemy.project": job.project.name}))
        for page in rows:
            write(page)
            count += len(page[0])
            progress(len(page[0]))
    if job.wrapped:
        _remove_others(stem, encrypt)
    about = ManifestFile(
        file=os.path.basename(path), schema_=MANIFEST_SCHEMA, rows=count, sha256=sha256_of(path)
    )
    facts = car_facts(job.cars, url, job.stored_by)
    with whole_file(f"{stem}.cars.csv") as file:
        file.write(cars_csv(facts))
    with whole_file(f"{stem}.summary.json") as file:
        file.write(summary_json(job.project, facts, job.root, about, url))
    keys = None
    if job.wrapped:
        keys = f"{stem}.keys.json"
        keep_keys_file(keys, job.wrapped)
    return Manifest(path, f"{stem}.summary.json", f"{stem}.cars.csv", len(job.cars), count, keys)


def _remove_others(stem: str, encrypted: bool) -> None:
    """Remove the plain manifests beside an encrypted one, or the encrypted ones beside a plain one, of any format.

    A folder has an encrypted project's manifests all encrypted or all in plain, as the last one was asked for.

    Raises:
        StagingError: one can't be removed.
    """
    for form in FORMATS:
        path = f"{stem}.manifest.{form}{'' if encrypted else ENDING}"
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StagingError(
                f"{path}, of an earlier manifest, can't be removed ({error.strerror}): remove it"
            ) from error
