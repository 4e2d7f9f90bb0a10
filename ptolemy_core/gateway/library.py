"""The CARs that a server has open: shared by all requests, so that parallel ranges of one share files and windows.

An idle CAR stays open for the next request until others need its place. One whose file was removed or replaced is
opened anew.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outlined import outline_name
from ptolemy_core.car.reading import CarBytes
from ptolemy_core.catalog.served import HeldCar
from ptolemy_core.errors import NotFoundError, OutlineError, PtolemyError
from ptolemy_core.source import open_source
from ptolemy_core.staging.car import StagedCar

MOST = 64
"""CARs that are open at once."""

_WINDOWS = 4 << 20
"""Bytes that a generated CAR keeps for readers of small ranges."""

_Key = tuple[str, str]


class FullError(PtolemyError):
    """More CARs are asked for at once than may be open."""

    code = "too-many-cars"


@dataclass(eq=False, slots=True)
class _Open:
    """An open CAR, how many use it, the file it came from, and that file's identity when it was opened."""

    car: CarBytes
    path: str
    identity: tuple[int, int, int]
    users: int = 0
    dropped: bool = False


Opener = Callable[[HeldCar], tuple[CarBytes, str]]
"""Opens a CAR; gives it with the path of the file that it is read from, or of its outline."""


class Library:
    """Open CARs, by their files. Any thread may use it.

    Args:
        most: that are open at once.
        opener: of CARs.
    """

    def __init__(self, most: int = MOST, opener: Opener | None = None) -> None:
        self._most = most
        self._opener = opener or open_held
        self._open: OrderedDict[_Key, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def use(self, held: HeldCar) -> Iterator[CarBytes]:
        """The CAR, open while the block lasts; raises as `take`."""
        taken = self.take(held)
        try:
            yield taken.car
        finally:
            self.give_back(taken)

    def take(self, held: HeldCar) -> _Open:
        """The CAR, open until it is given back.

        Raises:
            NotFoundError: neither it nor its outline is there.
            StagingError, OutlineError: it can't be read, or has another size.
            FullError: too many are in use.
        """
        key = (held.staging_dir, held.file_name)
        with self._lock:
            found = self._open.get(key)
            if found is not None and _identity(found.path) != found.identity:
                self._drop(key)
                found = None
            if found is None:
                self._make_room()
                car, path = self._opener(held)
                found = _Open(car, path, _identity(path))
                if car.size != held.car_size:
                    found.car.close()
                    raise NotFoundError(
                        f"{path} is a CAR of {car.size} bytes, {held.file_name} has {held.car_size}"
                    )
                self._open[key] = found
            self._open.move_to_end(key)
            found.users += 1
            return found

    def give_back(self, taken: _Open) -> None:
        """Say that a CAR isn't used any more."""
        with self._lock:
            taken.users -= 1
            if taken.dropped and not taken.users:
                taken.car.close()

    def first_of(self, choice: Sequence[HeldCar]) -> HeldCar:
        """The first of these that can be opened; raises as `take` what the last one did."""
        for number, held in enumerate(choice):
            try:
                self.give_back(self.take(held))
                return held
            except PtolemyError:
                if number == len(choice) - 1:
                    raise
        raise NotFoundError("no CAR is built that has it")

    def close(self) -> None:
        """Close those that aren't in use; the others are closed when they are given back."""
        with self._lock:
            for key in list(self._open):
                self._drop(key)

    def _make_room(self) -> None:
        if len(self._open) < self._most:
            return
        idle = next((key for key, one in self._open.items() if not one.users), None)
        if idle is None:
            raise FullError(f"{self._most} other CARs are being fetched: try again later")
        self._drop(idle)

    def _drop(self, key: _Key) -> None:
        dropped = self._open.pop(key)
        dropped.dropped = True
        if not dropped.users:
            dropped.car.close()


def _identity(path: str) -> tuple[int, int, int]:
    """What tells a file from another one of its name; zeros if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_dev, status.st_ino, status.st_size)


def open_held(held: HeldCar) -> tuple[CarBytes, str]:
    """Open a CAR that is staged, or else one that is generated from its outline."""
    path = os.path.join(held.staging_dir, held.file_name)
    if os.path.lexists(path):
        return StagedCar(path), path
    outline = os.path.join(held.staging_dir, outline_name(held.file_name))
    if not os.path.lexists(outline):
        raise NotFoundError(f"the CAR {held.file_name} isn't in {held.staging_dir} any more")
    opened = Outline(outline)
    if opened.header.payload_cid != held.payload_cid:
        opened.close()
        raise OutlineError(f"the outline {outline} is of another CAR: rebuild it from the source")
    return GeneratedCar(opened, open_source(os.fsencode(held.target_dir)), cache=_WINDOWS), outline
