"""`PROJECT.keys.json`: the wrapped data keys of an encrypted project as a file beside its CARs.

With it, the CARs and the key of the alias are enough to read everything back: so it is there before a CAR is, and not
only in the catalog, which may be lost. A file with other data keys, as of a project that a lost catalog had, is put
aside and not overwritten.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ptolemy_core.errors import StagingError
from ptolemy_core.keys import WrappedKey
from ptolemy_core.manifest.schema import FOLDER
from ptolemy_core.project import Project

if TYPE_CHECKING:
    from ptolemy_core.staging.outline_prefixes import Superseded

_ENDING = ".keys.json"


def keys_path(project: Project) -> str:
    """Where the file is: an absolute path, or a URL."""
    if project.stages_to_store:
        return f"{project.staging_dir}/{_name(project)}"
    return os.path.join(os.path.abspath(project.staging_dir), _name(project))


def keep_keys(project: Project, wrapped: Sequence[WrappedKey], before: Sequence[WrappedKey] = ()) -> None:
    """Write the file of a project's data keys beside its CARs, unless it says the same already.

    Args:
        project: nothing is written for one without data keys.
        wrapped: the data keys.
        before: the same as they were wrapped before: a file that has them is replaced.

    Raises:
        StagingError: it can't be written.
    """
    if not wrapped:
        return
    if project.stages_to_store:
        from ptolemy_core.stages.keys_object import KeysObject  # it loads what opens URLs

        _keep(KeysObject(project, _name(project)), wrapped, before)
    else:
        _keep(_File(keys_path(project)), wrapped, before)


def keep_keys_file(path: str, wrapped: Sequence[WrappedKey]) -> None:
    """Write the file of a project's data keys to a path; otherwise as `keep_keys`."""
    if wrapped:
        _keep(_File(path), wrapped, ())


def rewrite_keys_file(project: Project, before: Sequence[WrappedKey], wrapped: Sequence[WrappedKey]) -> None:
    """`keep_keys`, if that can be done now: later stages write it too."""
    with suppress(StagingError):
        keep_keys(project, wrapped, before)


def superseded_keys(project: Project, new: str, wrapped: Sequence[WrappedKey]) -> "list[Superseded]":
    """The object of a project's data keys that another replaces once the project has a new name.

    A file of them stays, beside the manifests of the old name.
    """
    if not wrapped or not project.stages_to_store:
        return []
    from ptolemy_core.manifest.sealed import keys_json  # it takes a while to load
    from ptolemy_core.staging.outline_prefixes import Superseded

    renamed = project.model_copy(update={"name": new})
    return [Superseded(_name(project), _name(renamed), keys_json(wrapped))]


class Place(Protocol):
    """Where a file of data keys is. Each method raises StagingError."""

    def content(self) -> bytes | None:
        """What is there."""

    def put_aside(self) -> None:
        """Keep what is there under the first free name of `aside_name`."""

    def replace(self, content: bytes) -> None:
        """Put other content in its place."""


def aside_name(name: str, number: int) -> str:
    """`PROJECT.keys.before-N.json`: the name of a file with the data keys of other CARs."""
    return f"{name.removesuffix(_ENDING)}.keys.before-{number}.json"


def _name(project: Project) -> str:
    return f"{FOLDER}/{project.name}{_ENDING}"


def _keep(place: Place, wrapped: Sequence[WrappedKey], before: Sequence[WrappedKey]) -> None:
    from ptolemy_core.manifest.sealed import keys_json  # it takes a while to load

    there, content = place.content(), keys_json(wrapped)
    if there == content:
        return
    if there not in (None, keys_json(before)):
        place.put_aside()
    place.replace(content)


class _File:
    """A file of data keys."""

    def __init__(self, path: str) -> None:
        self._path = path

    def content(self) -> bytes | None:
        """What is there; None also if it can't be read."""
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except OSError:
            return None

    def put_aside(self) -> None:
        """Link it under another name."""
        number = 1
        while os.path.lexists(aside := aside_name(self._path, number)):
            number += 1
        try:
            os.link(self._path, aside, follow_symlinks=False)
        except OSError as error:
            raise StagingError(
                f"{self._path} has the data keys of other CARs and can't be kept as {aside} ({error.strerror}): move "
                "it to a safe place"
            ) from error

    def replace(self, content: bytes) -> None:
        """Write it whole."""
        from ptolemy_core.manifest.writers import whole_file  # it takes a while to load

        with whole_file(self._path) as out:
            out.write(content)
