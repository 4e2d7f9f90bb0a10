"""Release of the CAR of a data set's root: marked as delivered like others, removed from staging on request."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ptolemy_core.catalog import cars, delivery, projects, roots
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.errors import DeliveryError
from ptolemy_core.staging.area import area_of


@dataclass(frozen=True, slots=True)
class ReleasedRoot:
    """What was done with a root's CAR: its row now, what changed in words, and what to know before going further."""

    root: RootRow
    done: str
    warning: str | None = None


def release(
    catalog: Catalog, chosen: Sequence[RootRow], *, note: str | None = None, remove: bool = False
) -> list[ReleasedRoot]:
    """Mark the CARs of roots as delivered; all are looked at before anything is changed.

    Args:
        catalog: where they are.
        chosen: the roots, see `roots.named`.
        note: of where they went; None leaves an earlier note.
        remove: delete their files from the staging folder too, after reading them once more.

    Raises:
        DeliveryError: the note isn't text; a file isn't the CAR; one that is to be removed isn't there, or can't be.
    """
    if note is not None and not is_text(note):
        raise DeliveryError(f"the note must be text in UTF-8 without NUL, got {note!r}")
    there = [_look(catalog, row, remove) for row in chosen]
    out = []
    for row, is_there in zip(chosen, there, strict=True):
        kept = row.delivered_to if note is None else note
        now = roots.mark(catalog, row, row.delivered_at or time.time(), kept)
        done = "was marked as delivered already" if row.delivered_at is not None else "marked as delivered"
        if remove:
            done += ", " + (_remove(catalog, row) if is_there else "its file was gone already")
        warning = (
            None if is_there or row.delivered_at is not None else "its file wasn't in staging_dir any more"
        )
        out.append(ReleasedRoot(now, done, warning))
    return out


def undo(catalog: Catalog, chosen: Sequence[RootRow]) -> list[ReleasedRoot]:
    """Take back that the CARs of roots were delivered."""
    return [
        ReleasedRoot(
            roots.mark(catalog, row, None, None),
            "no longer marked as delivered" if row.delivered_at is not None else "wasn't marked",
        )
        for row in chosen
    ]


def _look(catalog: Catalog, row: RootRow, remove: bool) -> bool:
    """Whether a root's CAR is in the staging folder.

    Raises:
        DeliveryError: what has its name there isn't the CAR, or it is to be removed and was lost.
    """
    area = area_of(projects.get(catalog, row.project))
    found = area.look(row.file_name)
    if found is None:
        if remove and row.delivered_at is None:
            raise DeliveryError(
                f"{area.path(row.file_name)} doesn't exist and was never marked as delivered: mark it without "
                f"--remove if it was delivered, or rebuild it: ptolemy root {row.project} --rebuild"
            )
        return False
    try:
        same = found.is_whole(row.car_size) and (read := area.piece_cid(row.file_name)) is not None
        same = same and read is not None and read[0] == row.piece_cid_v2
    except OSError as error:
        raise DeliveryError(f"{area.path(row.file_name)} can't be read ({error.strerror})") from error
    if not same:
        raise DeliveryError(
            f"{area.path(row.file_name)} isn't the CAR that was built: nothing was marked or removed; make it again: "
            f"ptolemy root {row.project} --rebuild"
        )
    return True


def _remove(catalog: Catalog, row: RootRow) -> str:
    area = area_of(projects.get(catalog, row.project))
    if next(iter(cars.known_names(catalog, row.project, [row.file_name])), None) is not None:
        return "file kept: it is also a CAR of files"
    try:
        area.remove(row.file_name)
    except FileNotFoundError:
        return "its file was gone already"
    except OSError as error:
        raise DeliveryError(
            f"{area.path(row.file_name)} is marked as delivered but can't be removed ({error.strerror}): remove it "
            "yourself"
        ) from error
    return "file removed"


def named(
    catalog: Catalog, texts: list[str], project: str | None = None
) -> tuple[list[CarRow], list[RootRow]]:
    """The CARs, and the roots of data sets, that these texts name.

    Raises:
        DeliveryError: one names neither.
    """
    found: dict[int, CarRow] = {}
    tops: dict[str, RootRow] = {}
    for text in texts:
        try:
            found |= {row.container_id: row for row in delivery.named(catalog, text, project)}
        except DeliveryError:
            named = roots.named(catalog, text, project)
            if not named:
                raise
            tops |= {row.project: row for row in named}
    return list(found.values()), list(tops.values())
