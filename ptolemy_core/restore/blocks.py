"""Blocks of a set of CARs by their CIDs: first where the order of the CAR says, else by an index of the CARs.

In a CAR in depth-first order with duplicates (https://specs.ipfs.tech/http-gateways/trustless-gateway/) each
block stands behind the one read before, and no index is made. Any other order costs 16 bytes a block.
"""

import errno
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

from ptolemy_core.open_files import needed_limit
from ptolemy_core.reader.car import Section
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.hashes import IDENTITY, cid_text, hash_matches, is_profile_cid, parse_cid
from ptolemy_core.reader.seekable import SeekableCar


class BlockError(ValueError):
    """A block that isn't there, doesn't have the hash that its CID states, or isn't what it should be."""


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


class Blocks:
    """The blocks of CARs that are open together.

    Attributes:
        cars: the CARs, in the order given.
    """

    def __init__(self, paths: Sequence[str | bytes | PathLike[str]], *, index: bool = True) -> None:
        """Open CARs.

        Args:
            paths: of the files.
            index: look through all of them for a block that isn't where it should be.

        Raises:
            CarError: a header is malformed.
            OSError: a file can't be opened or read, or they are more than this process may open (see `open_files`).
        """
        self._index = index
        self._last = 0
        self.cars: list[SeekableCar] = []
        try:
            for path in paths:
                self.cars.append(SeekableCar(path))
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

    def close(self) -> None:
        """Close all files."""
        for car in self.cars:
            car.close()

    def find(self, cid: bytes, near: Spot) -> Found:
        """Where the block of this CID is.

        Args:
            cid: binary.
            near: where it stands if its CAR is in depth-first order.

        Raises:
            BlockError: no CAR holds it.
        """
        inline = not is_profile_cid(cid) and parse_cid(cid).hash == IDENTITY
        here = self._at(near)
        if here is not None and here.cid == cid:
            return self._found(cid, near.car, here)
        if inline:
            return Found(cid, near.car, None, near)
        if not self._index:
            place = f"{self.cars[near.car].name} at byte {near.offset}"
            raise BlockError(f"the block {cid_text(cid)} isn't where it should be ({place})")
        for number in sorted(range(len(self.cars)), key=lambda n: n != near.car):
            try:
                section = self.cars[number].find(cid)
            except CarError:
                continue
            if section is not None:
                return self._found(cid, number, section)
        raise BlockError(f"the block {cid_text(cid)} isn't there{self._faults()}")

    def _at(self, spot: Spot) -> Section | None:
        if spot.car != self._last:
            self.cars[self._last].forget()
            self._last = spot.car
        try:
            return self.cars[spot.car].section_at(spot.offset)
        except CarError:
            return None  # the index names it

    def _found(self, cid: bytes, car: int, section: Section) -> Found:
        return Found(cid, car, section, Spot(car, section.data_offset + section.length))

    def _faults(self) -> str:
        """Where CARs can't be read to their ends: that is why blocks are missing."""
        faults = [str(car.fault) for car in self.cars if car.indexed and car.fault]
        return f"; {'; '.join(faults)}" if faults else ""

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
            raise BlockError(f"the block {cid_text(found.cid)} can't be read: {error}") from None
        matches = hash_matches(parsed, data)
        if not matches:
            how = "has another hash" if matches is False else "has a hash of an unknown kind"
            raise BlockError(
                f"the block {cid_text(found.cid)} {how} ({car.name} at byte {found.section.offset})"
            )
        return data
