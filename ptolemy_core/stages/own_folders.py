"""Ptolemy's own folders and files, which are left out of a scan that meets them.

Folders are known by device and inode: a bind mount or another name of the same folder is left out too.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.store import Catalog, home
from ptolemy_core.project import Project
from ptolemy_core.restore.target import STATE
from ptolemy_core.source.walk import OWN, OwnFolders
from ptolemy_core.tree import paths

_DATABASE = ("", "-wal", "-shm", "-journal")


def own_folders(catalog: Catalog, project: Project) -> OwnFolders:
    """Folders that a scan of this project leaves out, with the reason."""
    if project.is_remote:
        return {}
    found: dict[tuple[int, int], str] = {}
    for path, what in _candidates(catalog, project):
        with suppress(OSError):
            status = os.stat(path)
            found.setdefault((status.st_dev, status.st_ino), f"{OWN} {what}")
    if not _is_own(project, catalog):
        with suppress(OSError):
            status = os.stat(project.target_bytes)
            found.pop((status.st_dev, status.st_ino), None)  # somebody wants to store those CARs
    return found


def _candidates(catalog: Catalog, project: Project) -> Iterator[tuple[str, str]]:
    yield home(), "state folder"
    if catalog.path:
        yield f"{catalog.path}.locks", "locks"
    yield project.staging_dir, "staging folder"
    for name in projects.names(catalog):
        if name != project.name:
            yield projects.get(catalog, name).staging_dir, f"staging folder of project {name!r}"
    partial = os.path.join(project.target_dir, os.fsdecode(STATE))
    if _holds_partial_files(partial):
        yield partial, "folder of a restore that isn't finished"


def _holds_partial_files(folder: str) -> bool:
    """Whether a folder may be that of an unfinished restore: it has entries, and no folder among them."""
    try:
        with os.scandir(folder) as entries:
            kinds = [entry.is_dir(follow_symlinks=False) for entry in entries]
    except OSError:
        return False
    return bool(kinds) and not any(kinds)


def _is_own(project: Project, catalog: Catalog) -> bool:
    """Whether the target itself is this project's staging folder, or the state folder."""
    with suppress(OSError):
        return any(
            os.path.samefile(project.target_dir, path)
            for path in (project.staging_dir, home())
            if os.path.exists(path)
        )
    return False


def own_files(catalog: Catalog, project: Project) -> frozenset[bytes]:
    """Paths below the target of a catalog that is there, outside of the state folder."""
    if not catalog.path or project.is_remote:
        return frozenset()
    place = os.path.relpath(os.path.realpath(catalog.path), os.path.realpath(project.target_dir))
    if place.startswith(os.pardir):
        return frozenset()
    path = paths.from_slashes(os.fsencode(place))
    return frozenset(path + os.fsencode(suffix) for suffix in _DATABASE)
