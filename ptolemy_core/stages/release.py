"""Release: CARs are marked as delivered, and their files may leave the staging folder; or the mark is taken back.

A CAR is looked at as it is now: a file that isn't the CAR that was built is neither marked nor removed.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ptolemy_core.catalog import cars, deletions, delivery, projects, replicas, stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.errors import DeliveryError, OutlineError, SourceError
from ptolemy_core.progress import Progress
from ptolemy_core.stages import car_state, delete_source
from ptolemy_core.stages.car_state import is_verified
from ptolemy_core.stages.copies import Copies
from ptolemy_core.stages.deal import settle_deals
from ptolemy_core.stages.evidence import Looking
from ptolemy_core.stages.reservation import build_lock
from ptolemy_core.staging.area import StagedFile, area_of
from ptolemy_core.staging.stored import StoredCar
from ptolemy_core.tree import paths


@dataclass(frozen=True, slots=True)
class Released:
    """What was done with one CAR.

    Attributes:
        car: its row now.
        done: in words: what changed, or that nothing had to.
        warning: what to know before going further; None if there is nothing.
    """

    car: CarRow
    done: str
    warning: str | None


def release(
    catalog: Catalog,
    chosen: Sequence[CarRow],
    *,
    note: str | None = None,
    remove: bool = False,
    override: bool = False,
    progress: Progress | None = None,
) -> list[Released]:
    """Mark CARs as delivered. All are looked at before anything is changed.

    A file that passed verification and hasn't changed since is known by its inode and time of change. Any other is
    read, and its piece CID compared with the receipt: always before it is removed, and before it is only
    marked if it changed after a verification, or failed one.

    Args:
        catalog: where they are.
        chosen: the CARs, see `delivery.named`.
        note: of where they went; None leaves an earlier note.
        remove: delete their files from the staging folder too.
        override: mark CARs too that have fewer active deals than their project wants, and remove last copies unseen.
        progress: called with bytes read since the last call.

    Raises:
        DeliveryError: the note isn't text; a file isn't the CAR; one that is to be removed isn't there, or can't be;
            a CAR has too few active deals, or its providers don't show that they hold it.
    """
    chosen = _settled(catalog, chosen)
    by_deals = {row.container_id for row in chosen if not override and _by_deals(catalog, row, remove)}
    looks = [_look(catalog, row, remove, progress) for row in chosen]
    for row, look in zip(chosen, looks, strict=True):
        # before any file goes: a CAR that is gone without a mark counts as lost
        if row.container_id not in by_deals:
            journal = _overridden(catalog, row) if override else ""
            delivery.mark(catalog, row, note, seen=look.is_the_car, journal=journal)
    return [_released(catalog, row, look, remove) for row, look in zip(chosen, looks, strict=True)]


def _settled(catalog: Catalog, chosen: Sequence[CarRow]) -> list[CarRow]:
    """The CARs as they are after a look at their deals."""
    for name in sorted({row.project for row in chosen}):
        settle_deals(catalog, name)
    now = cars.of_containers(catalog, [row.container_id for row in chosen])
    return [now[row.container_id] for row in chosen]


def _by_deals(catalog: Catalog, row: CarRow, remove: bool) -> bool:
    """Whether a CAR is delivered by its deals, so that it needs no mark.

    Raises:
        DeliveryError: its project wants more active deals than it has; or its file is the last local copy, and the
            providers don't show that they hold it.
    """
    project = projects.get(catalog, row.project)
    if project.replicas is None or replicas.is_marked(catalog, row.container_id):
        return False
    where = f"CAR {row.project}/{row.number}"
    if row.delivered_at is None:
        active = len(replicas.holders(catalog, row.project, [row.piece_cid_v2]).get(row.piece_cid_v2, []))
        raise DeliveryError(
            f"{where} has {active} of the {project.replicas} active deals that its project wants, so nothing was "
            f"marked or removed: ptolemy deals make {row.project}; --override marks it anyway"
        )
    if remove and deletions.of_container(catalog, row.container_id):
        reason = Copies(catalog, project, Looking()).why_not_held(row)
        if reason is not None:
            raise DeliveryError(
                f"{reason}, and sources of it are deleted, so its file wasn't removed: --override removes it anyway"
            )
    return True


def _overridden(catalog: Catalog, row: CarRow) -> str:
    """What an override sets aside, for the history."""
    wanted = projects.get(catalog, row.project).replicas
    if wanted is None:
        return ""
    active = len(replicas.holders(catalog, row.project, [row.piece_cid_v2]).get(row.piece_cid_v2, []))
    return f"marked with --override: {active} of {wanted} deals are active"


@dataclass(frozen=True, slots=True)
class _Look:
    """A CAR's file (None: it isn't there), and whether it is known to be the CAR that was built."""

    file: StagedFile | None
    is_the_car: bool


def _look(catalog: Catalog, row: CarRow, remove: bool, progress: Progress | None) -> _Look:
    """Look at a CAR's file before it is marked or removed.

    Raises:
        DeliveryError: it mustn't be.
    """
    stored = stored_cars.of_row(projects.get(catalog, row.project), row)
    _require_no_suspects(catalog, row)
    found = stored.look()
    if found is None:
        if remove and row.delivered_at is None:
            raise DeliveryError(
                f"{_place(stored)} doesn't exist and was never marked as delivered, so nothing was marked or "
                f"removed: if it was delivered, mark it without --remove; else build it again "
                f"(car {row.project}|{row.number:06d})"
            )
        return _Look(None, False)
    if not found.is_whole(row.car_size):
        what = f"{found.size} bytes" if found.regular else "no regular file"
        raise _not_the_car(stored, f"is {what}, the CAR has {row.car_size}: it is incomplete")
    if is_verified(row, found):
        return _Look(found, True)
    if not remove and row.verified_at is None and row.failed_at is None:
        return _Look(found, False)
    try:
        read = stored.piece_cid(progress)
    except (SourceError, OutlineError) as error:
        raise DeliveryError(
            f"CAR {stored.label} can't be generated, so nothing was marked or removed: {error}"
        ) from error
    except OSError as error:
        raise _not_the_car(stored, f"can't be read ({error.strerror})") from error
    if read is None:
        raise _not_the_car(stored, "was changed while it was read")
    piece, found = read
    if piece != row.piece_cid_v2:
        since = "it passed verification" if row.verified_at is not None else "it was built"
        raise _not_the_car(
            stored,
            f"was changed since {since}: its piece CID is {cid.to_text(piece)}, "
            f"the CAR's {cid.to_text(row.piece_cid_v2)}",
        )
    if row.verified_at is not None:  # the same bytes that passed, in a file that was copied, say
        delivery.set_verified(catalog, row, row.verified_at, found.ctime, found.inode)
    return _Look(found, True)


def _not_the_car(stored: StoredCar, how: str) -> DeliveryError:
    return DeliveryError(
        f"{_place(stored)} {how}, so nothing was marked or removed; move it away, then mark the CAR as "
        f"delivered if a complete copy was, or build it again (car {stored.project}|{stored.number:06d})"
    )


def _place(stored: StoredCar) -> str:
    """Path of a CAR's file, or of the outline of a generated one."""
    return os.path.join(stored.staging_dir, stored.kept_name)


def _require_no_suspects(catalog: Catalog, row: CarRow) -> None:
    suspects = delivery.suspects(catalog, row)
    if suspects and row.delivered_at is None:
        path, reason = suspects[0]
        more = f", and {len(suspects) - 1} files more" if len(suspects) > 1 else ""
        raise DeliveryError(
            f"CAR {row.project}/{row.number} may contain data that was never in the source: {paths.display(path)} "
            f"{reason}{more}. Nothing was marked or removed: compare again (ptolemy verify {row.project} --source), "
            "or touch the file, run the project again, and deliver the new CAR too"
        )


def _released(catalog: Catalog, row: CarRow, look: _Look, remove: bool) -> Released:
    done = ["was marked as delivered already" if row.delivered_at is not None else "marked as delivered"]
    if remove:
        done.append(_remove(catalog, row, look))
    now = next(cars.rows(catalog, row.project, row.number))
    return Released(now, ", ".join(done), _warning(row, now, look, remove))


def _warning(row: CarRow, now: CarRow, look: _Look, remove: bool) -> str | None:
    """What to know of a CAR that was marked just now."""
    if now.verified_at is None:
        return "it was never verified: its sources can't be deleted later" + (
            " unless it is built again and verified" if remove else f"; ptolemy verify {row.project}"
        )
    if look.file is None and row.delivered_at is None:
        return (
            "its file wasn't in staging_dir any more, so it isn't known to be complete: delete-source keeps its "
            "sources unless --trust-marks is given"
        )
    return None


def undo(catalog: Catalog, chosen: Sequence[CarRow]) -> list[Released]:
    """Take back that CARs were delivered.

    Raises:
        BusyError: sources of their projects are being deleted.
    """
    out = []
    with ExitStack() as locks:
        for name in sorted({row.project for row in chosen}):
            locks.enter_context(delete_source.lock(catalog, name))
        for row in chosen:
            delivery.unmark(catalog, row)
            now = next(cars.rows(catalog, row.project, row.number))
            done = "no longer marked as delivered" if row.delivered_at is not None else "wasn't marked"
            out.append(Released(now, done, _undone(catalog, row)))
    return out


def _undone(catalog: Catalog, row: CarRow) -> str | None:
    """What to know of a CAR whose mark was taken back, as its file is now."""
    found = car_state.look(projects.get(catalog, row.project), row)
    deleted = deletions.of_container(catalog, row.container_id)
    lost = f"{deleted} of its sources were deleted because it was delivered, and its file "
    if found is None:
        return (
            lost + "isn't in staging_dir either: find it"
            if deleted
            else ("its file isn't in staging_dir: it counts as missing now")
        )
    changed = "is incomplete" if not found.is_whole(row.car_size) else "isn't the one that was verified"
    if not found.is_whole(row.car_size) or (row.verified_at is not None and not is_verified(row, found)):
        advice = f"ptolemy verify {row.project} says what is wrong"
        return f"{lost}in staging_dir {changed}: {advice}" if deleted else f"its file {changed}: {advice}"
    return lost + "is in staging_dir: keep it" if deleted else None


def _remove(catalog: Catalog, row: CarRow, look: _Look) -> str:
    project = projects.get(catalog, row.project)
    area, stored = area_of(project), stored_cars.of_row(project, row)
    what = "outline" if row.is_generated else "file"
    if look.file is None:
        return f"its {what} was gone already"
    others = [
        other
        for other in cars.same_file(catalog, row)
        if other.delivered_at is None
        and not (row.is_generated or other.is_generated)
        and area.is_same_as(area_of(projects.get(catalog, other.project)))
    ]
    if others:
        return f"{what} kept: it is also CAR {others[0].project}/{others[0].number}, which isn't delivered"
    with catalog.lock(build_lock(row.project, row.number), busy=f"{row.file_name} is being built: wait"):
        found = stored.look()
        if found is None:
            return f"its {what} was gone already"
        if found != look.file:
            raise DeliveryError(
                f"{_place(stored)} is marked as delivered, but was changed just now and isn't removed: "
                "release it again"
            )
        try:
            area.remove(stored.kept_name)
        except FileNotFoundError:
            return f"its {what} was gone already"
        except OSError as error:
            raise DeliveryError(
                f"{_place(stored)} is marked as delivered but can't be removed ({error.strerror}): "
                "remove it yourself"
            ) from error
    return f"{what} removed"
