"""Unsigned LEB128 varints as multiformats, CAR and protobuf write them (minimal, at most 63 bits).

Specification: https://github.com/multiformats/unsigned-varint
"""

import numpy as np
from numpy.typing import NDArray

_LIMITS = np.array([1 << (7 * k) for k in range(1, 9)], dtype=np.int64)


def encode(value: int) -> bytes:
    """The varint of `value` (0 <= value < 2**63)."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length(value: int) -> int:
    """Bytes that `encode(value)` takes."""
    return max(1, (value.bit_length() + 6) // 7)


def lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`length` of each value of an array."""
    return np.searchsorted(_LIMITS, values, side="right") + 1


def decode(data: bytes | memoryview, offset: int = 0) -> tuple[int, int]:
    """Decode one varint: its value and the offset after it.

    Raises:
        ValueError: it is cut off, longer than 9 bytes, or not minimal.
    """
    value = shift = 0
    for at in range(offset, offset + 9):
        if at >= len(data):
            raise ValueError(f"varint at offset {offset} is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise ValueError(f"varint at offset {offset} is not minimal")
            return value, at + 1
        shift += 7
    raise ValueError(f"varint at offset {offset} is longer than 9 bytes")
