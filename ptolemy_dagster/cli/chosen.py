"""Paths below a project's target_dir, as a user types them."""

import os

from ptolemy_core.catalog import Catalog, history
from ptolemy_core.project import Project
from ptolemy_core.tree import paths


def tree_path(catalog: Catalog, project: Project, text: str) -> bytes:
    """The NUL-joined path below target_dir of what a user typed, relative to it or absolute.

    Where nothing has the name as it is typed, it is read with escapes, as commands show names that aren't text.
    """
    inside = paths.relative_to(project.target_dir, text)
    path = paths.from_display(text if inside is None else inside)
    if b"\\" not in path or _is_known(catalog, project, path):
        return path
    try:
        escaped = paths.unescape(os.fsdecode(paths.to_slashes(path)))
    except ValueError:
        return path
    return escaped if _is_known(catalog, project, escaped) else path


def _is_known(catalog: Catalog, project: Project, path: bytes) -> bool:
    text = os.fsdecode(paths.to_slashes(path))
    return next(history.versions(catalog, project.name, text), None) is not None
