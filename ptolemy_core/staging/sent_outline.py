"""Sending an outline to a store: it is there whole or not at all, and replaces no other one unseen.

An outline's name says which CAR it describes, so two of one name differ in times and paths of the source alone.
"""

import mmap
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptolemy_core.car.outlined import OutlineOutput, taken_over
from ptolemy_core.errors import BusyError, StagingError
from ptolemy_core.kernel import Buffer
from ptolemy_core.source.store_errors import ChangedError, StoreError
from ptolemy_core.staging.store_car import StoreCar

if TYPE_CHECKING:
    from ptolemy_core.staging.store import StoreArea

ONE_REQUEST = 1 << 30
"""Bytes up to which an outline is sent in one request, on a condition: stores take 5 GiB, but not in ten minutes.

A larger one, of a CAR of ten million files, is sent in parts, and looked at before and after.
"""

_READ = 16 << 20


def send_outline(area: "StoreArea", name: str, output: OutlineOutput) -> None:
    """Put a complete outline into a store, unless the same one already exists there.

    Args:
        area: where to.
        name: of the object.
        output: whose file is complete.

    Raises:
        BusyError: another process put another one there meanwhile, or took over on this machine.
        StagingError: it can't be written.
    """
    try:
        size = os.stat(output.path).st_size
        objects = area.objects()
        # after a refusal it may be there: an answer was lost, or somebody else was quicker
        for _ in range(2):
            there = objects.look(name)
            if there is not None and there.size == size and _is_same(area, name, output.path):
                return
            if size > ONE_REQUEST:
                area.put(name, _parts(output.path), size)
                if _is_same(area, name, output.path):
                    return
                break
            try:
                objects.put(name, _content(output.path, size), there)
                return
            except ChangedError:
                pass
    except FileNotFoundError:
        raise taken_over(name) from None
    except StoreError as error:
        raise StagingError(
            f"the outline {area.path(name)} can't be written ({error}): check the store and the credentials, then "
            "run blitz again"
        ) from None
    raise BusyError(f"the outline {area.path(name)} is being written by another process")


def _content(path: str, size: int) -> Buffer:
    """All bytes of a file, which aren't copied into memory; a client may keep them longer than its request takes."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""


def _is_same(area: "StoreArea", name: str, path: str) -> bool:
    with StoreCar(area, name) as there:
        at = 0
        for part in _parts(path):
            if there.size < at + len(part) or there.read(at, len(part)) != part:
                return False
            at += len(part)
        return at == there.size


def _parts(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while part := file.read(_READ):
            yield part
