"""Removing a project, with its CARs or without them, and renaming one."""

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import cars, data_keys, deals, deletions, projects, removal, roots
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import DeletionError, StagingError
from ptolemy_core.facts.projects import RemovedFacts
from ptolemy_core.keys import KeyProvider, configured_keys, rebind
from ptolemy_core.manifest import FOLDER
from ptolemy_core.project import Project, parse_project
from ptolemy_core.sizes import counted
from ptolemy_core.stages.change import require_idle
from ptolemy_core.stages.keys_file import keys_path, rewrite_keys_file, superseded_keys
from ptolemy_core.staging.area import OUTLINES, StagingArea, area_of
from ptolemy_core.staging.store import StoreArea


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of a project removes, or would.

    Attributes:
        project: its settings.
        cars: numbers of its built CARs.
        undelivered: how many of them aren't marked as delivered.
        files: names of its CARs and outlines in the staging folder that no other project has, and their bytes.
        manifests: paths of its manifests.
        deals: how many of its deals aren't over.
        obstacle: why it isn't removed without force; None: it is.
        done: False in a dry run.
    """

    project: Project
    cars: list[int]
    undelivered: int
    files: dict[str, int] = field(default_factory=dict)
    manifests: list[str] = field(default_factory=list)
    deals: int = 0
    obstacle: str | None = None
    done: bool = False

    def facts(self, *, files: bool) -> RemovedFacts:
        """As JSON tells of it; `files`: whether files of CARs go too."""
        names = self.files if files else {}
        return RemovedFacts(
            project=self.project.name,
            removed=self.done,
            cars=len(self.cars),
            undelivered=self.undelivered,
            deals=self.deals,
            obstacle=self.obstacle,
            files=list(names),
            bytes=sum(names.values()),
        )


def look(catalog: Catalog, name: str) -> Removal:
    """What would be removed; nothing is.

    Raises:
        UnknownProjectError: no such project.
    """
    project = projects.get(catalog, name)
    rows = list(cars.rows(catalog, name))
    names = _names(catalog, name)
    sizes: dict[str, int] = {}
    with suppress(StagingError):
        area = area_of(project)
        sizes = area.sizes() | {
            os.path.join(OUTLINES, name, one): size for one, size in area.outlines(name).items()
        }
    others = _files_of_others(catalog, project)
    return Removal(
        project=project,
        cars=[row.number for row in rows],
        undelivered=sum(row.delivered_at is None for row in rows),
        files={file: sizes[file] for file in sorted(names & sizes.keys() - others)},
        manifests=_manifests(project),
        deals=len(deals.select(catalog, project=name, live=True)),
        obstacle=_obstacle(catalog, name),
    )


def delete(catalog: Catalog, name: str, *, files: bool = False, force: bool = False) -> Removal:
    """Remove a project from the catalog.

    Args:
        catalog: where the project is.
        name: the project's.
        files: remove its CARs and manifests from the staging folder, too.
        force: also where that loses what nobody else knows.

    Raises:
        UnknownProjectError: no such project.
        BusyError: something of it is under way.
        DeletionError: its sources were deleted after delivery, so the catalog alone knows what is where; or a file
            can't be removed.
    """
    found = look(catalog, name)
    if found.obstacle is not None and not force:
        raise DeletionError(found.obstacle)
    with require_idle(catalog, name):
        if files:
            _remove_files(area_of(found.project), found)
        removal.delete(catalog, name)
    return replace(found, done=True)


def _obstacle(catalog: Catalog, name: str) -> str | None:
    """What is needed later and the catalog alone knows; None: nothing is."""
    gone = deletions.count(catalog, name)
    if gone:
        return (
            f"{counted(gone, 'source')} of project {name!r} {'was' if gone == 1 else 'were'} deleted after delivery: "
            "the catalog knows which CARs hold them. Keep a manifest (ptolemy manifest), then delete with --force"
        )
    live = deals.select(catalog, project=name, live=True)
    if live:
        return (
            f"{counted(len(live), 'deal')} of project {name!r} {'is' if len(live) == 1 else 'are'} not over, and the "
            f"catalog alone knows of them: keep a list (ptolemy deals list {name} --json), then delete with --force"
        )
    if data_keys.data_keys(catalog, name):
        return (
            f"the data keys of project {name!r} are in the catalog and in {keys_path(projects.get(catalog, name))}, "
            "and its CARs can't be decrypted without them: keep a copy of that file, then delete with --force"
        )
    return None


def rename(catalog: Catalog, old: str, new: str, keys: KeyProvider | None = None) -> Project:
    """Give a project another name. Manifests keep the names of their files.

    The data keys of an encrypted project are wrapped again, since they are bound to its name; its CARs stay as they
    are, and manifests that were written before can be read as before.

    Args:
        catalog: where it is.
        old, new: its name and the new one.
        keys: of encrypted projects; by default as configured.

    Raises:
        UnknownProjectError: no such project.
        SettingsError: that can't be a name, or another project has it.
        BusyError: something of it is under way.
        EncryptionError: the key of an encrypted project isn't there; nothing is changed then.
    """
    before = projects.get(catalog, old)
    renamed = parse_project(before.model_dump() | {"name": new})
    if new != old:
        with require_idle(catalog, old):
            kept = data_keys.data_keys(catalog, old)
            provider = keys or (configured_keys() if kept else None)
            wrapped = [rebind(provider, one, new) for one in kept] if provider else []
            with area_of(renamed).outlines_renamed(old, new, superseded_keys(before, new, kept)):
                removal.rename(catalog, old, new, wrapped)
                rewrite_keys_file(renamed, [], wrapped)
    return renamed


def _files_of_others(catalog: Catalog, project: Project) -> set[str]:
    """CARs and outlines that other projects have in the same folder."""
    mine = area_of(project)
    found: set[str] = set()
    for other in projects.rows(catalog):
        if other.name != project.name and area_of(other).is_same_as(mine):
            found |= _names(catalog, other.name)
    return found


def _names(catalog: Catalog, name: str) -> set[str]:
    """What a project's CARs and outlines are called in its staging folder."""
    files = {row.file_name for row in cars.rows(catalog, name)}
    drawn = {os.path.join(OUTLINES, name, outline_name(file)) for file in files}
    return files | drawn | {row.file_name for row in roots.rows(catalog, name)}


def _manifests(project: Project) -> list[str]:
    folder = os.path.join(project.local_dir, FOLDER)
    with suppress(OSError):
        return sorted(
            os.path.join(folder, name)
            for name in os.listdir(folder)
            if name.startswith(
                (f"{project.name}.manifest.", f"{project.name}.summary.", f"{project.name}.cars.")
            )
        )
    return []


def _remove_files(area: StagingArea | StoreArea, found: Removal) -> None:
    try:
        for name in found.files:
            with suppress(FileNotFoundError):
                area.remove(name)
        for path in found.manifests:
            with suppress(FileNotFoundError):
                os.unlink(path)
        area.sync()
    except OSError as error:
        raise DeletionError(
            f"{error.filename or area.folder} can't be removed ({error.strerror}): the project stays; remove it "
            "again when it can"
        ) from error
