"""Slots of a sharded folder: murmur3-x64-64 of an entry's name, a few bits per level from the top.

Specification: https://specs.ipfs.tech/unixfs/ (HAMT directories); multicodec 0x22.
"""

from functools import cache

MURMUR3_X64_64 = 0x22
"""The multicodec of the hash in a HAMT node's Data."""
HASH_BITS = 64

_MASK = (1 << 64) - 1
_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _finished(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33


def murmur3(name: bytes) -> int:
    """The first 64 bits of murmur3-x64-128 with seed 0, as a number whose top bits select the first slot."""
    one = two = 0
    whole = len(name) & ~15
    for at in range(0, whole, 16):
        low = int.from_bytes(name[at : at + 8], "little")
        high = int.from_bytes(name[at + 8 : at + 16], "little")
        one ^= _rotated(low * _C1 & _MASK, 31) * _C2 & _MASK
        one = ((_rotated(one, 27) + two) * 5 + 0x52DCE729) & _MASK
        two ^= _rotated(high * _C2 & _MASK, 33) * _C1 & _MASK
        two = ((_rotated(two, 31) + one) * 5 + 0x38495AB5) & _MASK
    low = int.from_bytes(name[whole : whole + 8], "little")
    high = int.from_bytes(name[whole + 8 :], "little")
    one ^= _rotated(low * _C1 & _MASK, 31) * _C2 & _MASK
    two ^= _rotated(high * _C2 & _MASK, 33) * _C1 & _MASK
    one ^= len(name)
    two ^= len(name)
    one = (one + two) & _MASK
    two = (two + one) & _MASK
    return (_finished(one) + _finished(two)) & _MASK


def slots(prefixes: list[bytes], fanout: int) -> list[int]:
    """The slot in each link name's prefix; -1 if it isn't the upper-case hex that the format requires."""
    known = _prefixes(fanout)
    return [known.get(prefix, -1) for prefix in prefixes]


@cache
def digits(fanout: int) -> int:
    """Hex digits of a link name's prefix: two for 256 slots."""
    return len(f"{fanout - 1:X}")


@cache
def _prefixes(fanout: int) -> dict[bytes, int]:
    return {f"{slot:0{digits(fanout)}X}".encode(): slot for slot in range(fanout)}


def bitfield(taken: list[int]) -> bytes:
    """The bitfield of a HAMT node with these slots: big-endian, without leading zero bytes."""
    number = 0
    for slot in taken:
        number |= 1 << slot
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
