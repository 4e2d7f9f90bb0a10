"""Leaves of encrypted files: each is one segment, which is authenticated before a byte of it is written."""

from ptolemy_core.restore.dag import Leaf
from ptolemy_core.restore.report import FileItem
from ptolemy_core.source.open_file import ReadAt, reader_of


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


def reader(item: FileItem, descriptor: int) -> ReadAt:
    """Reads a restored file as its leaves have it: encrypted again, if they are."""
    return reader_of(descriptor, item.cipher)
