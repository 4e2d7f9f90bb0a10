"""UnixFS messages, the Data of dag-pb nodes: files, folders, symbolic links, HAMT nodes.

Specification: https://specs.ipfs.tech/unixfs/ (blocksizes unpacked, field 4; a folder has no filesize).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import dagpb, varint

DIRECTORY = b"\x08\x01"
_FILE = b"\x08\x02"
_SYMLINK = b"\x08\x04"
_HAMT = b"\x08\x05"
_MURMUR3_FANOUT_256 = b"\x28\x22\x30\x80\x02"
"""HAMT fields 5 and 6: hashType murmur3-x64-64 (0x22) and fanout 256."""

PLAIN_DIRECTORY_DATA = dagpb.data_size(len(DIRECTORY))
"""Bytes of a plain folder's block without its links."""


def file_message(blocksizes: Sequence[int]) -> bytes:
    """The message of a file node whose children have these numbers of bytes of file data."""
    encode = varint.encode
    out = bytearray(_FILE)
    out += b"\x18" + encode(sum(blocksizes))
    for size in blocksizes:
        out += b"\x20" + encode(size)
    return bytes(out)


def file_message_size(blocksizes: NDArray[np.int64]) -> int:
    """Length of `file_message(blocksizes)`."""
    total = int(blocksizes.sum())
    return len(_FILE) + 1 + varint.length(total) + len(blocksizes) + int(varint.lengths(blocksizes).sum())


def symlink_block(target: bytes) -> bytes:
    """The block of a symbolic link to `target`."""
    return dagpb.encode_node((), _SYMLINK + b"\x12" + varint.encode(len(target)) + target)


def symlink_block_size(target_length: int) -> int:
    """Length of a symbolic link's block."""
    return dagpb.data_size(len(_SYMLINK) + 1 + varint.length(target_length) + target_length)


def hamt_message(slots: Iterable[int]) -> bytes:
    """The message of a HAMT node whose links are in these slots (0 to 255)."""
    bits = 0
    for slot in slots:
        bits |= 1 << slot
    field = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
    return _HAMT + b"\x12" + varint.encode(len(field)) + field + _MURMUR3_FANOUT_256


def hamt_message_size(last_slot: int) -> int:
    """Length of `hamt_message` if `last_slot` is the highest slot in use."""
    return len(_HAMT) + 2 + last_slot // 8 + 1 + len(_MURMUR3_FANOUT_256)
