"""`PROJECT.keys.json`: the wrapped data keys of an encrypted project as a file beside its CARs.

With it, the CARs and the key of the alias are enough to read everything back: so it is there before a CAR is, and not
only in the catalog, which may be lost. A file with other data keys, as of a project that a lost catalog had, is put
aside and not overwritten.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from ptolemy_core.errors import StagingError
from ptolemy_core.keys import WrappedKey
from ptolemy_core.manifest.schema import FOLDER
from ptolemy_core.project import Project

_ENDING = ".keys.json"


def keys_path(project: Project) -> str:
    """Where the file is, absolute."""
    return os.path.join(os.path.abspath(project.staging_dir), FOLDER, project.name + _ENDING)


def keep_keys_file(path: str, wrapped: Sequence[WrappedKey], before: Sequence[WrappedKey] = ()) -> None:
    """Write the file of a project's data keys, unless it says the same already; nothing of one that has none.

    Args:
        path: of the file.
        wrapped: the data keys.
        before: the same as they were wrapped before: a file that has them is replaced.

    Raises:
        StagingError: it can't be written.
    """
    if not wrapped:
        return
    from ptolemy_core.manifest.sealed import keys_json  # these take a while to load
    from ptolemy_core.manifest.writers import whole_file

    there, content = _content(path), keys_json(wrapped)
    if there == content:
        return
    if there not in (None, keys_json(before)):
        _put_aside(path)
    with whole_file(path) as out:
        out.write(content)


def rewrite_keys_file(project: Project, before: Sequence[WrappedKey], wrapped: Sequence[WrappedKey]) -> None:
    """`keep_keys_file` of a project, if that can be done now: later stages write it too."""
    with suppress(StagingError):
        keep_keys_file(keys_path(project), wrapped, before)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _put_aside(path: str) -> None:
    """Give a file the first free name of `PROJECT.keys.before-N.json`.

    Raises:
        StagingError: that can't be done.
    """
    number = 1
    while os.path.lexists(aside := f"{path.removesuffix(_ENDING)}.keys.before-{number}.json"):
        number += 1
    try:
        os.link(path, aside, follow_symlinks=False)
    except OSError as error:
        raise StagingError(
            f"{path} has the data keys of other CARs and can't be kept as {aside} ({error.strerror}): move it to "
            "a safe place"
        ) from error
