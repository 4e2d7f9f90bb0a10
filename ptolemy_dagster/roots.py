"""Folders that projects may use: below the operator's roots, wherever symbolic links lead.

The roots are in the environment of every process that `ptolemy serve` starts, so they hold whichever way a project is
created or a run launched: over HTTP, in the web UI, by GraphQL or the command line.
"""

import os
import re
from collections.abc import Sequence

from ptolemy_core import urls
from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import SettingsError
from ptolemy_core.project import Project

ROOTS_VARIABLE = "PTOLEMY_ROOTS"
"""The environment variable that lists them, with a colon between two."""


_BETWEEN = re.compile(r":(?=/(?!/)|[a-z0-9]+://|$)")
"""What separates two roots: the colon of a URL doesn't."""


class OutsideRootsError(SettingsError):
    """A project's folder isn't below a root."""

    code = "outside-roots"


def environment_roots() -> tuple[str, ...]:
    """The roots that the environment names; none allow any folder.

    Raises:
        SettingsError: one of them can't be.
    """
    return parse_roots([part for part in _BETWEEN.split(os.environ.get(ROOTS_VARIABLE, "")) if part])


def parse_roots(folders: Sequence[str]) -> tuple[str, ...]:
    """Real paths of roots; URLs in their one spelling.

    Raises:
        SettingsError: one of them can't be.
    """
    remote = [str(urls.parse(folder)) for folder in folders if urls.is_url(folder)]
    folders = [folder for folder in folders if not urls.is_url(folder)]
    for folder in folders:
        if not os.path.isabs(folder):
            raise SettingsError(f"root {folder!r} must be an absolute path")
        if not os.path.isdir(folder):
            raise SettingsError(f"root {folder!r} isn't a folder: create it, or mount it, first")
    return tuple(dict.fromkeys([*(os.path.realpath(folder) for folder in folders), *remote]))


def set_environment(roots: Sequence[str]) -> None:
    """Let these roots hold in this process and in those that it starts.

    Raises:
        SettingsError: a root can't be written into the environment.
    """
    for root in roots:
        if os.pathsep in root and not urls.is_url(root):
            raise SettingsError(
                f"root {root!r} has a {os.pathsep!r}, the separator of roots, in it: use a folder above it, or a link"
            )
    if roots:
        os.environ[ROOTS_VARIABLE] = os.pathsep.join(roots)
    else:
        os.environ.pop(ROOTS_VARIABLE, None)


def require_inside(project: Project, roots: Sequence[str]) -> None:
    """See that a project's folders are below one of the roots; no roots allow any folder.

    Called when a project is created and again before each of its stages: a folder may have become a link since.

    Raises:
        OutsideRootsError: one of them isn't.
    """
    if not roots:
        return
    for name in ("target_dir", "staging_dir"):
        folder: str = getattr(project, name)
        real = folder if urls.is_url(folder) else os.path.realpath(folder)
        if not any(_is_below(real, root) for root in roots):
            leads = "" if real == folder else f" (it leads to {real!r})"
            raise OutsideRootsError(
                f"{name} {folder!r}{leads} is outside the folders that may be used here: use a folder below "
                + " or ".join(roots)
            )


def _is_below(place: str, root: str) -> bool:
    if urls.is_url(place) or urls.is_url(root):
        return place == root or place.startswith(root + "/")
    return os.path.commonpath([root, place]) == root


def require_allowed(catalog: Catalog, name: str) -> None:
    """See that a project's folders are below the environment's roots.

    Raises:
        OutsideRootsError: one of them isn't.
        UnknownProjectError: no such project.
    """
    roots = environment_roots()
    if roots:
        require_inside(projects.get(catalog, name), roots)
