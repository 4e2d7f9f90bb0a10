"""Leaves of encrypted files: each is one segment, which is authenticated before a byte of it is written."""

from collections.abc import Sequence

from ptolemy_core.encryption import Encrypted, FileCipher
from ptolemy_core.errors import SourceChangedError
from ptolemy_core.restore.compare import ReadAt, reader_of
from ptolemy_core.restore.dag import Leaf
from ptolemy_core.restore.report import FileItem


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
    read = reader_of(descriptor)
    return read if item.cipher is None else encrypting_reader(item.cipher, read)


def encrypting_reader(cipher: FileCipher, plain: ReadAt) -> ReadAt:
    """Reads a file encrypted; nothing, where it is shorter than the cipher's."""
    view = Encrypted(_Plain(plain), cipher)

    def read(buffer: memoryview, offset: int) -> int:
        try:
            return view.read_into(offset, buffer)
        except SourceChangedError:
            return 0

    return read


class _Plain:
    """Reads a file into several buffers."""

    def __init__(self, read: ReadAt) -> None:
        self._read = read

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        done = 0
        for buffer in buffers:
            got = self._read(buffer, offset + done)
            done += got
            if got < len(buffer):
                break
        return done
