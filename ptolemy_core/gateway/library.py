"""The CARs that a server has open: shared by all requests, so that parallel ranges of one share files and windows.

An idle CAR stays open for the next request until others need its place. One whose file was removed or replaced is
opened again.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ptolemy_core.catalog.served import HeldCar
from ptolemy_core.errors import NotFoundError, PtolemyError
from ptolemy_core.staging.stored import OpenCar, StoredCar

MOST = 32
"""CARs that are open at once."""

_Key = tuple[str, str]


class FullError(PtolemyError):
    """More CARs are asked for at once than may be open."""

    code = "too-many-cars"


class _Open:
    """A CAR, how many use it, the file it comes from, and that file's identity when it was asked for."""

    def __init__(self, stored: StoredCar, path: str, identity: tuple[int, ...]) -> None:
        self.path = path
        self.identity = identity
        self.users = 0
        self.dropped = False
        self._stored = stored
        self._car: OpenCar | None = None
        self._opening = threading.Lock()

    @property
    def car(self) -> OpenCar:
        """The open CAR."""
        return self.open()

    def open(self) -> OpenCar:
        """The open CAR: the first who asks opens it, who else wants it waits; raises as `StoredCar.open`."""
        with self._opening:
            if self._car is None:
                self._car = self._stored.open()
            return self._car

    def close(self) -> None:
        """Close it, if it was ever opened; nobody may use it."""
        if self._car is not None:
            self._car.close()


class Library:
    """Open CARs, by their files. Any thread may use it.

    Args:
        most: that are open at once.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: OrderedDict[_Key, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def use(self, held: HeldCar) -> Iterator[OpenCar]:
        """The CAR, open while the block lasts; raises as `take`."""
        taken = self.take(held)
        try:
            yield taken.car
        finally:
            self.give_back(taken)

    def take(self, held: HeldCar) -> _Open:
        """The CAR, open until it is given back. Opening one doesn't keep the others waiting.

        Raises:
            NotFoundError: its file was removed.
            StagingError, OutlineError: it can't be read, or has another size.
            DeadCarError: its source changed.
            FullError: too many are in use.
        """
        taken = self._enter(held)
        try:
            taken.open()
        except BaseException:
            with self._lock:
                self._forget(taken)
            self.give_back(taken)
            raise
        return taken

    def give_back(self, taken: _Open) -> None:
        """Say that a CAR isn't used any more."""
        with self._lock:
            taken.users -= 1
            if taken.dropped and not taken.users:
                taken.close()

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

    def _enter(self, held: HeldCar) -> _Open:
        stored = held.stored
        path = stored.outline_path if stored.generated else stored.path
        key = (path, stored.dead or "")
        identity = _identity(stored)
        with self._lock:
            found = self._open.get(key)
            if found is not None and identity != found.identity:
                self._drop(key)
                found = None
            if found is None:
                if not stored.generated and not any(identity):
                    raise NotFoundError(f"{path} isn't there any more")
                self._make_room()
                found = self._open[key] = _Open(stored, path, identity)
            self._open.move_to_end(key)
            found.users += 1
            return found

    def _forget(self, taken: _Open) -> None:
        for key in [key for key, one in self._open.items() if one is taken]:
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
            dropped.close()


def _identity(stored: StoredCar) -> tuple[int, ...]:
    """What tells a CAR's file, or its outline, from another one of its name; zeros if there is none."""
    if stored.in_store:
        found = stored.look()
        return (0, 0, 0) if found is None else (1, found.ctime, found.size)
    path = stored.outline_path if stored.generated else stored.path
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)  # an inode may come again
