"""Release: CARs are marked as delivered, and their files may leave the staging folder; or the mark is taken back."""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ptolemy_core.catalog import cars, deletions, delivery, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import DeliveryError
from ptolemy_core.stages import delete_source, room


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
    catalog: Catalog, chosen: Sequence[CarRow], *, note: str | None = None, remove: bool = False
) -> list[Released]:
    """Mark CARs as delivered. All are looked at before anything is changed.

    Args:
        catalog: that holds them.
        chosen: the CARs, see `delivery.named`.
        note: of where they went; None leaves an earlier note.
        remove: delete their files from the staging folder too.

    Raises:
        DeliveryError: the note isn't text, or a file to be removed isn't the whole CAR, or can't be removed.
    """
    if remove:
        for row in chosen:
            _require_whole(catalog, row)
    for row in chosen:  # before any file goes: a CAR that is gone without a mark counts as lost
        delivery.mark(catalog, row, note)
    return [_released(catalog, row, remove) for row in chosen]


def _released(catalog: Catalog, row: CarRow, remove: bool) -> Released:
    done = ["was marked as delivered already" if row.delivered_at is not None else "marked as delivered"]
    if remove:
        done.append(_remove(catalog, row))
    now = next(cars.rows(catalog, row.project, row.number))
    warning = None
    if now.verified_at is None:
        warning = "it was never verified: its sources can't be deleted later" + (
            " unless it is built again and verified" if remove else f"; ptolemy verify {row.project}"
        )
    return Released(now, ", ".join(done), warning)


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
            done = "not marked as delivered any more" if row.delivered_at is not None else "wasn't marked"
            out.append(Released(now, done, _undone(catalog, row)))
    return out


def _undone(catalog: Catalog, row: CarRow) -> str | None:
    there = os.path.lexists(_path(catalog, row))
    deleted = deletions.of_container(catalog, row.container_id)
    if deleted:
        where = "is in staging_dir: keep it" if there else "isn't in staging_dir either: find it"
        return f"{deleted} of its sources were deleted because it was delivered, and its file {where}"
    return None if there else "its file isn't in staging_dir: it counts as missing now"


def _path(catalog: Catalog, row: CarRow) -> str:
    return os.path.join(projects.get(catalog, row.project).staging_dir, row.file_name)


def _require_whole(catalog: Catalog, row: CarRow) -> None:
    """See that the CAR's file is whole, if it is there.

    Raises:
        DeliveryError: it isn't, or can't be looked at.
    """
    path = _path(catalog, row)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DeliveryError(f"{path} can't be looked at ({error.strerror}): nothing was changed") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size != row.car_size:
        what = f"{status.st_size} bytes" if stat.S_ISREG(status.st_mode) else "no regular file"
        raise DeliveryError(
            f"{path} is {what}, the CAR has {row.car_size}: it isn't whole, so nothing was marked or removed; "
            f"look at it, then release without --remove, or build it again (car {row.project}|{row.number:06d})"
        )


def _remove(catalog: Catalog, row: CarRow) -> str:
    path = _path(catalog, row)
    others = [other for other in _sharing(catalog, row) if other.delivered_at is None]
    if others:
        return f"file kept: it is also CAR {others[0].project}/{others[0].number}, which isn't delivered"
    with catalog.lock(room.build_lock(row.project, row.number), busy=f"{row.file_name} is being built: wait"):
        _require_whole(catalog, row)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return "its file was gone already"
        except OSError as error:
            raise DeliveryError(
                f"{path} is marked as delivered but can't be removed ({error.strerror}): remove it yourself"
            ) from error
    with suppress(OSError):
        _sync(os.path.dirname(path))
    return "file removed"


def _sharing(catalog: Catalog, row: CarRow) -> list[CarRow]:
    """Other CARs that the same file in the same folder is, since their content is the same."""
    folder = projects.get(catalog, row.project).staging_dir
    same = (car.c.file_name == row.file_name) & (container.c.id != row.container_id)
    return [
        other
        for other in cars.select(catalog, same)
        if projects.get(catalog, other.project).staging_dir == folder
    ]


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
