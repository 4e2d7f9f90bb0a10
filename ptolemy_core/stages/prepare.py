"""The whole way from a folder to verified CARs in one call, without a project that anyone has to define.

Its catalog is a file in a hidden folder beside the CARs, so a run that was interrupted resumes, and a later one adds
what has changed since. The CARs are those that a project with the same settings has, bit for bit.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ptolemy_core import urls
from ptolemy_core.car import BuildOptions
from ptolemy_core.car.options import DEFAULT_OPTIONS
from ptolemy_core.catalog import cars, projects, roots, skipped
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.skipped import NotStored
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import EmptyProjectError, SettingsError, UnreadableError, VerificationError
from ptolemy_core.project import Project, parse_project
from ptolemy_core.settings import CHANGEABLE
from ptolemy_core.stages.blitz import Building, build_container, pending, seal
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.manifest import Manifest, ManifestOptions, write_manifest
from ptolemy_core.stages.scan import ScanResult, scan
from ptolemy_core.stages.verify import Verifying, verify

STATE = ".ptolemy"
"""Folder of the catalog, below the CARs."""

_STEPS = ("scanning", "planning", "building CARs", "verifying", "data set root", "manifest")
_MAY_CHANGE = frozenset(CHANGEABLE) - {"target_dir"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Step:
    """What is being done: its number of so many, its name, and its bytes (None: it counts entries)."""

    number: int
    of: int
    name: str
    total: int | None


Started = Callable[[Step], Callable[[int], None]]
"""Called when a step begins; returns what takes bytes, or entries, done since the last call."""


def _quiet(_: Step) -> Callable[[int], None]:
    return lambda done: None


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a folder is prepared.

    Attributes:
        settings: of the project that it is; car_size, include and so on.
        form: of the manifest.
        url: template of where CARs can be fetched, for the manifest.
        verify: whether the CARs are read back.
        options: of each build.
        started: told of each step.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    form: str = "csv"
    url: str | None = None
    verify: bool = True
    options: BuildOptions = DEFAULT_OPTIONS
    started: Started = _quiet


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made.

    Attributes:
        cars: all CARs in the folder, also of earlier runs.
        built: how many of them this run built.
        root: of the data set.
        manifest: paths of the manifest and its summary.
        not_stored: what is in no CAR.
    """

    cars: list[CarRow]
    built: int
    root: RootRow
    manifest: Manifest
    not_stored: NotStored


def prepare(folder: str, out: str, how: Preparation) -> Prepared:
    """Make CARs and a manifest of a folder.

    Args:
        folder: to store.
        out: folder for the CARs and the manifest; made if it isn't there.
        how: to do it.

    Raises:
        SettingsError: a setting can't have that value, or `out` has CARs of another folder or other settings.
        SourceError: a file can't be read, or changes meanwhile.
        StagingError: `out` can't take the CARs.
        VerificationError: a CAR isn't what was built.
    """
    project = _project(folder, out, how.settings)
    with _catalog(project) as catalog:
        _define(catalog, project)
        steps = _Steps(how)
        advance = steps.begin("scanning")
        found = _scan(catalog, project.name, advance)
        if found.is_empty:
            raise EmptyProjectError(
                f"nothing to store: there is no file, link or empty folder in {project.target_dir} that is included"
            )
        steps.begin("planning")
        containerize(catalog, project.name)
        built = _build(catalog, project.name, how, steps)
        if how.verify:
            _verify(catalog, project.name, steps)
        root, _ = build_root(catalog, project.name, progress=steps.begin("data set root"))
        form = ManifestOptions(how.form, project.staging_dir, how.url)
        manifest = write_manifest(catalog, project.name, form, progress=steps.begin("manifest"))
        return Prepared(
            list(cars.rows(catalog, project.name)),
            built,
            next(roots.rows(catalog, project.name), root),
            manifest,
            skipped.not_stored(catalog, project.name),
        )


def _scan(catalog: Catalog, name: str, advance: Callable[[int], None]) -> ScanResult:
    try:
        return scan(catalog, name, progress=lambda entries, _: advance(entries))
    except UnreadableError as error:  # there is no project that a user knows of
        raise UnreadableError(str(error).replace(f"ptolemy set {name} ", "")) from None


def steps_of(verify: bool) -> list[str]:
    """The names of all steps, in their order."""
    return [name for name in _STEPS if verify or name != "verifying"]


class _Steps:
    """Numbers the steps, and tells of each."""

    def __init__(self, how: Preparation) -> None:
        self._names = steps_of(how.verify)
        self._started = how.started

    def begin(self, name: str, total: int | None = None) -> Callable[[int], None]:
        return self._started(Step(self._names.index(name) + 1, len(self._names), name, total))


def _build(catalog: Catalog, name: str, how: Preparation, steps: _Steps) -> int:
    todo = pending(catalog, name)
    advance = steps.begin("building CARs", sum(row.car_size for row in todo))
    for row in todo:
        build_container(catalog, name, row.number, Building(how.options, progress=advance))
    seal(catalog, name)
    return len(todo)


def _verify(catalog: Catalog, name: str, steps: _Steps) -> None:
    advance = steps.begin("verifying", sum(row.car_size for row in cars.rows(catalog, name)))
    problems: list[str] = []
    how = Verifying(again=False, remedy=_remedy)
    with closing(verify(catalog, name, how, progress=advance)) as verdicts:
        for verdict in verdicts:
            problems += verdict.problems
            if verdict.known:
                advance(verdict.car.car_size)
    if problems:
        raise VerificationError("\n".join(problems[:20]))


def _remedy(_: cars.CarRow) -> str:
    """What to do about a missing CAR, for somebody who knows of no project."""
    return f"put it back, or remove {STATE} in that folder and run this again, which builds all CARs"


def _project(folder: str, out: str, settings: dict[str, Any]) -> Project:
    for path, what in ((folder, "the folder to store"), (out, "the folder for CARs")):
        if not path:
            raise SettingsError(f"{what} is empty: give a path")
    if urls.is_url(out):
        raise SettingsError(
            f"the folder for CARs can't be the URL {out!r}, since it keeps the state too: use a folder, or a project "
            "whose staging_dir is the URL (ptolemy create)"
        )
    target, staging = urls.absolute(folder), os.path.abspath(out)
    return parse_project(
        {"name": name_for(target)} | settings | {"target_dir": target, "staging_dir": staging}
    )


def name_for(folder: str) -> str:
    """A name as projects have them, made from a folder's."""
    plain = _UNSAFE.sub("-", os.path.basename(folder.rstrip("/"))).strip("-_")
    return plain[:63] or "folder"


@contextmanager
def _catalog(project: Project) -> Iterator[Catalog]:
    state = os.path.join(project.staging_dir, STATE)
    try:
        os.makedirs(state, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{project.staging_dir} can't be written ({error.strerror}): use a folder that you may write"
        ) from error
    catalog = Catalog(f"sqlite:///{state}/catalog.db")
    try:
        yield catalog
    finally:
        catalog.engine.dispose()


def _define(catalog: Catalog, project: Project) -> None:
    """See that the CARs that are there already are of the same folder and settings."""
    known = projects.names(catalog)
    if known and known != [project.name]:
        raise SettingsError(
            f"{project.staging_dir} has CARs of {known[0]!r}, not of {project.name!r}: use another folder for CARs"
        )
    if not known:
        projects.create(catalog, project)
        return
    was = projects.get(catalog, project.name).model_dump()
    other = {key: value for key, value in project.model_dump().items() if was[key] != value}
    fixed = [f"{key} {was[key]!r}, not {other[key]!r}" for key in other if key not in _MAY_CHANGE]
    if fixed:
        raise SettingsError(
            f"{project.staging_dir} has CARs that were made with {'; '.join(fixed)}: use the same, or another "
            "folder for CARs"
        )
    projects.change(catalog, project.name, other)
