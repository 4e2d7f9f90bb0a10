"""Leaves of encrypted files: each is one segment, which is authenticated before a byte of it is written."""

from ptolemy_core.encryption import Header
from ptolemy_core.encryption.segments import HEADER
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.dag import Leaf, leaves
from ptolemy_core.restore.report import FileItem
from ptolemy_core.source.open_file import ReadAt, reader_of
from ptolemy_core.tree import paths


def plain_range(item: FileItem, leaf: Leaf) -> tuple[int, int]:
    """Start and length in the restored file of a leaf's bytes."""
    if item.cipher is None:
        return leaf.start, leaf.length
    return item.cipher.segments.plain_range(leaf.start // item.cipher.segments.segment)


def plain_bytes(item: FileItem, leaf: Leaf, data: memoryview | bytes) -> memoryview | bytes:
    """A leaf's bytes as they are in the restored file.

    Raises:
        DamagedError: they aren't the file's segment, or the key is wrong.
    """
    if item.cipher is None:
        return data
    segments = item.cipher.segments
    out = bytearray(plain_range(item, leaf)[1])
    item.cipher.decrypt(leaf.start // segments.segment, data, out)
    return memoryview(out)


def header_in_car(blocks: Blocks, item: FileItem) -> Header:
    """The header at the beginning of an encrypted file. It isn't checked here, but with the first segment.

    Raises:
        DamagedError: it isn't an encrypted file.
        BlockError: its first block isn't there.
    """
    first = item.segments[0]
    leaf = next(leaves(blocks, first.cid, first.length, first.spot), None)
    if leaf is None:
        data = b""
    elif leaf.data is not None:
        data = leaf.data[:HEADER]
    else:
        out = bytearray(min(HEADER, leaf.length))
        blocks.cars[leaf.car].pread_into(memoryview(out), leaf.offset)
        data = bytes(out)
    return Header.parse(data, paths.display(bytes(item.path)))


def reader(item: FileItem, descriptor: int) -> ReadAt:
    """Reads a restored file as its leaves have it: encrypted again, if they are."""
    return reader_of(descriptor, item.cipher)
