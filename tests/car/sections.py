"""The sections of a CARv1, read in the plainest way."""

from typing import NamedTuple

from ptolemy_core.dag import cid, varint
from ptolemy_core.layout import HEADER_SIZE


class Section(NamedTuple):
    """CID and block of one section."""

    cid: bytes
    block: bytes


def sections_of(car: bytes, start: int = HEADER_SIZE) -> list[Section]:
    """All sections from `start` to the end, which must be the end of one."""
    out = []
    while start < len(car):
        length, at = varint.decode(car, start)
        start = at + length
        assert start <= len(car)
        out.append(Section(car[at : at + cid.SIZE], car[at + cid.SIZE : start]))
    return out
