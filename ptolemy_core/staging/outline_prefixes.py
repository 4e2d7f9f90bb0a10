"""A project that is renamed finds its outlines in a store under its new name: see `outline_folders` for a folder.

A store can't rename: outlines are copied, the project is renamed, and then those of the old name are deleted. Before
that, an object `outlines/.renaming/OLD/NEW` says what is to be deleted; it is deleted last. So what a killed rename
left is known, and the next one, or the next blitz, deletes it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptolemy_core.errors import PtolemyError, SourceError, StagingError
from ptolemy_core.source.store_errors import StoreError
from ptolemy_core.staging.area import OUTLINES
from ptolemy_core.staging.store_car import unreachable
from ptolemy_core.tree import SEPARATOR

if TYPE_CHECKING:
    from ptolemy_core.staging.store import StoreArea

_RENAMES = f"{OUTLINES}/.renaming"
"""No project has such a name."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """An object of the old name that is deleted too, once there is one of the new name, unless it has changed."""

    name: str
    by: str
    content: bytes


def _object(project: str, name: str) -> str:
    return f"{OUTLINES}/{project}/{name}"


@contextmanager
def outlines_renamed(area: "StoreArea", old: str, new: str, also: Sequence[Superseded]) -> Iterator[None]:
    """Copy a project's outlines to its new name while the block renames it, and then delete those of the old name.

    Args:
        area: the staging area.
        old, new: names of the project. Nothing else of it may be under way.
        also: objects that the block replaces by others.

    Raises:
        StagingError: that can't be done; the block isn't run then.
    """
    try:
        _undo_all(area, old)
        note = [[one.name, one.by, hashlib.sha256(one.content).hexdigest()] for one in also]
        names = area.outlines(old)
        if names or also:
            area.objects().overwrite(f"{_RENAMES}/{old}/{new}", json.dumps(note).encode())
        _copy(area, old, new, names)
    except StoreError as error:
        raise StagingError(
            f"the outlines of project {old!r} in {area.url} can't be copied ({error}): the project keeps its "
            "name; see that the credentials allow it"
        ) from None
    try:
        yield
    except PtolemyError:  # after any other error the project may be renamed
        with suppress(StoreError, StagingError):
            _undo_all(area, old)
        raise
    with suppress(StoreError, StagingError):  # the next blitz does it
        _finish(area, old, new)


def finish_renames(area: "StoreArea", project: str, exists: Callable[[str], bool]) -> None:
    """Delete what killed renames of a project left under its old names.

    What can't be listed or deleted stays for the next time.

    Args:
        area: the staging area.
        project: its name now.
        exists: whether there is a project of a name: then what has this name is that project's.
    """
    with suppress(StoreError, StagingError):
        for old, new in _begun(area):
            if new == project and not exists(old):
                _finish(area, old, new)


def _begun(area: "StoreArea") -> list[tuple[str, str]]:
    """Old and new names of renames that were begun and aren't done."""
    try:
        found = [
            os.fsdecode(entry.path).split(os.fsdecode(SEPARATOR))
            for batch in area.below(_RENAMES).source().entries()
            for entry in batch
        ]
    except SourceError as error:
        raise unreachable(error) from error
    return [(names[0], names[1]) for names in found if len(names) == 2]


def _copy(area: "StoreArea", old: str, new: str, names: dict[str, int]) -> None:
    objects = area.objects()
    for name, size in names.items():
        objects.copy(_object(old, name), _object(new, name))
        there = objects.look(_object(new, name))
        if there is None or there.size != size:
            raise StoreError(f"the copy of {name} is incomplete")


def _undo_all(area: "StoreArea", old: str) -> None:
    """Delete the copies that earlier renames of a project made before they were killed or failed."""
    for before, new in _begun(area):
        if before == old:
            _remove_copies(area, new, old)
            area.objects().remove(f"{_RENAMES}/{old}/{new}")


def _finish(area: "StoreArea", old: str, new: str) -> None:
    """Delete what is left under the old name of a project that was renamed."""
    objects, note = area.objects(), f"{_RENAMES}/{old}/{new}"
    _remove_copies(area, old, new)
    found = objects.read(note)
    for name, by, digest in json.loads(found[0]) if found else []:
        there = objects.read(name)
        if there and hashlib.sha256(there[0]).hexdigest() == digest and objects.look(by):
            objects.remove(name)
    objects.remove(note)


def _remove_copies(area: "StoreArea", unused: str, used: str) -> None:
    """Delete those outlines of a name that are under the other name, too."""
    objects, there = area.objects(), area.outlines(used)
    for name, size in area.outlines(unused).items():
        if there.get(name) == size:
            objects.remove(_object(unused, name))
