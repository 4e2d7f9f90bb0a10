"""Folders that a request may name: below the operator's roots, wherever symbolic links lead."""

import os

from ptolemy_core.project import Project
from ptolemy_dagster.http.problems import Problem


def require_inside(project: Project, roots: tuple[str, ...]) -> None:
    """See that a project's folders lie below one of the roots; no roots allow any folder.

    Called when a project is created and again before each of its stages: a folder may have become a link since.

    Raises:
        Problem: 403, one of them doesn't.
    """
    if not roots:
        return
    for name in ("target_dir", "staging_dir"):
        folder: str = getattr(project, name)
        real = os.path.realpath(folder)
        if not any(os.path.commonpath([root, real]) == root for root in roots):
            leads = "" if real == folder else f" (it leads to {real!r})"
            raise Problem(
                403,
                "outside-roots",
                f"{name} {folder!r}{leads} is outside the folders that this server may use: use a folder below "
                + " or ".join(roots),
            )
