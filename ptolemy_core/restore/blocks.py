"""Blocks of a set of CARs by their CIDs: first where the order of the CAR says, else by an index of the CARs.

In a CAR in depth-first order with duplicates (https://specs.ipfs.tech/http-gateways/trustless-gateway/) each
block comes right after the one read before, and no index is made. Any other order costs 16 bytes a block.
"""

import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.open_files import needed_limit
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.hashes import (
    IDENTITY,
    cid_text,
    hash_fault,
    hash_matches,
    is_profile_cid,
    parse_cid,
)
from ptolemy_core.reader.sections import Section
from ptolemy_core.reader.seekable import CarFile, SeekableCar, index_key

_RECENT = 8
"""CARs that keep what they read ahead."""
_NAMED = 10
"""Damaged CARs that one message names."""


class BlockError(ValueError):
    """A block that isn't there, doesn't have the hash that its CID states, or isn't what it should be."""


class MissingBlockError(BlockError):
    """A block that is in none of the CARs."""


class Spot(NamedTuple):
    """A place in one of the CARs: the CAR's number and a byte offset in it."""

    car: int
    offset: int


class Found(NamedTuple):
    """A block: the CID it was asked by, its section (an inline block has none), and where the next may be."""

    cid: bytes
    car: int
    section: Section | None
    next: Spot

    @property
    def size(self) -> int:
        """Bytes of the block."""
        return len(parse_cid(self.cid).digest) if self.section is None else self.section.length


class _Merged(NamedTuple):
    """The indexes of all CARs in one."""

    keys: NDArray[np.uint64]
    cars: NDArray[np.int32]
    offsets: NDArray[np.int64]


class Blocks:
    """The blocks of CARs that are open together.

    Attributes:
        cars: the CARs, in the order given.
    """

    def __init__(self, paths: Sequence[CarFile], *, index: bool = True) -> None:
        """Open CARs.

        Args:
            paths: of the files; or files that are open already, and are closed with the others.
            index: look through all of them for a block that isn't where it should be.

        Raises:
            CarError: a header is malformed.
            OSError: a file can't be opened or read, or they are more than this process may open (see `open_files`).
        """
        self._may_index = index
        self._merged: _Merged | None = None
        self._recent: dict[
            int, None
        ] = {}  # CARs that hold what they read ahead, the last one used at the end
        self.cars: list[SeekableCar] = []
        try:
            for path in paths:
                self.cars.append(SeekableCar(path))
                self.cars[-1].forget()
        except OSError as error:
            self.close()
            if error.errno != errno.EMFILE:
                raise
            reason = (
                f"{len(paths)} CARs are more files than this process may open at once: raise its limit with "
                f"`ulimit -n {needed_limit(len(paths))}`, or in Python with ptolemy_core.open_files"
            )
            raise OSError(errno.EMFILE, reason, error.filename) from None
        except BaseException:
            self.close()
            raise
        self._reached = [car.start for car in self.cars]

    def close(self) -> None:
        """Close all files."""
        for car in self.cars:
            car.close()

    def expected(self, cid: bytes, near: Spot) -> Found | None:
        """The block of this CID if it is right there.

        Raises:
            BlockError: what is there can't be read.
        """
        self._use(near.car)
        try:
            section = self.cars[near.car].section_at(near.offset)
        except CarError:
            return None  # the index, or a look at the CAR's end, names it
        except OSError as error:
            raise BlockError(f"the block {cid_text(cid)} can't be read: {error.strerror}") from None
        return self._found(cid, near.car, section) if section is not None and section.cid == cid else None

    def find(self, cid: bytes, near: Spot) -> Found:
        """Where the block of this CID is.

        Args:
            cid: binary.
            near: where it is if its CAR is in depth-first order.

        Raises:
            MissingBlockError: no CAR has it.
            BlockError: no index is made, and it isn't where it should be.
        """
        found = self.expected(cid, near)
        while found is None and self.cars[near.car].distrust():
            found = self.expected(cid, near)
        if found is not None:
            return found
        if not is_profile_cid(cid) and parse_cid(cid).hash == IDENTITY:
            return Found(cid, near.car, None, near)
        if not self._may_index:
            place = f"{self.cars[near.car].name} at byte {near.offset}"
            raise BlockError(f"the block {cid_text(cid)} isn't where it should be ({place})")
        found = self._indexed(cid, near.car)
        if found is None:
            raise MissingBlockError(f"the block {cid_text(cid)} is missing{self._faults()}")
        return found

    def leaf(self, cid: bytes, near: Spot, length: int | None) -> Found:
        """Where a raw leaf is; in a CAR that has to be transferred it isn't looked at, if its length is stated.

        Raises:
            BlockError: as `find`.
        """
        car = self.cars[near.car]
        if length is None or not car.is_remote or not is_profile_cid(cid):
            return self.find(cid, near)
        section = car.leaf_at(near.offset, cid, length)
        return Found(cid, near.car, section, Spot(near.car, section.data_offset + length))

    def _indexed(self, cid: bytes, first: int) -> Found | None:
        """A block by the index of the CAR where it was expected, or else of all."""
        if self._merged is None:
            with suppress(CarError):
                section = self.cars[first].find(cid)
                if section is not None:
                    self._use(first)
                    return self._found(cid, first, section)
            if len(self.cars) == 1:
                return None
            self._merged = self._merge()
        keys, cars, offsets = self._merged
        key = np.uint64(index_key(cid))
        at = int(np.searchsorted(keys, key))
        end = int(np.searchsorted(keys, key, side="right"))
        here = np.flatnonzero(cars[at:end] == first) if end - at > 1 else ()
        for place in (*(at + int(k) for k in here[:1]), *range(at, end)):
            number = int(cars[place])
            self._use(number)
            with suppress(CarError):
                section = self.cars[number].section_if(int(offsets[place]), cid)
                if section is not None:
                    return self._found(cid, number, section)
        return None

    def _merge(self) -> _Merged:
        """One index of all CARs, in place of their own: a look-up costs the same however many they are."""
        parts = [car.index() for car in self.cars]
        keys = np.concatenate([part[0] for part in parts])
        cars = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]) for part in parts])
        order = np.argsort(keys, kind="stable")
        merged = _Merged(keys[order], cars[order], np.concatenate([part[1] for part in parts])[order])
        for car in self.cars:
            car.drop_index()
        return merged

    def _use(self, number: int) -> None:
        """Note that a CAR is read, and let those that weren't for a while forget what they read ahead."""
        if next(reversed(self._recent), None) == number:
            return
        self._recent.pop(number, None)
        self._recent[number] = None
        if len(self._recent) > _RECENT:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            self.cars[oldest].forget()

    def _found(self, cid: bytes, car: int, section: Section) -> Found:
        behind = section.data_offset + section.length
        if behind > self._reached[car] and not self.cars[car].indexed:
            self._reached[car] = behind
        return Found(cid, car, section, Spot(car, behind))

    def _faults(self) -> str:
        """Where CARs can't be read to their ends: that is why blocks are missing."""
        faults = [str(car.fault) for car in self.cars if car.indexed and car.fault]
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        return f"; {'; '.join(faults[:_NAMED])}{more}" if faults else ""

    def damage(self, ends: Sequence[int] | None = None) -> list[str]:
        """A message for each CAR that is truncated, or has other bytes after its last block.

        Args:
            ends: byte offset behind the last block of each CAR, where they are known; else they are looked for.
        """
        out = []
        for number, car in enumerate(self.cars):
            try:
                fault = car.rubbish(ends[number]) if ends else car.damage(self._reached[number])
            except OSError as error:
                out.append(f"{car.name} can't be read to its end ({error.strerror})")
                continue
            if fault is not None:
                out.append(f"{fault.name} is damaged or incomplete: {fault.reason} (at byte {fault.offset})")
        return out

    def read(self, found: Found) -> bytes:
        """The block's bytes, checked against its CID.

        Raises:
            BlockError: they have another hash, or one of a kind that isn't known; or can't be read.
        """
        parsed = parse_cid(found.cid)
        if found.section is None:
            return parsed.digest
        car = self.cars[found.car]
        try:
            data = car.read(found.section)
        except (CarError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise BlockError(f"the block {cid_text(found.cid)} can't be read: {why}") from None
        if not hash_matches(parsed, data):
            if car.distrust():
                return self.read(found)
            raise BlockError(
                f"the block {cid_text(found.cid)} {hash_fault(parsed)} ({car.name} at byte {found.section.offset})"
            )
        return data
