"""Reading an open file at an offset, as it is or as the CARs of an encrypted project have it."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ptolemy_core.errors import SourceChangedError

if TYPE_CHECKING:
    from ptolemy_core.encryption import FileCipher

ReadAt: TypeAlias = Callable[[memoryview, int], int]
"""Fills a buffer with a file's bytes from an offset; returns how many there were."""


def reader_of(descriptor: int, cipher: "FileCipher | None" = None) -> ReadAt:
    """Reads an open file: encrypted, if there is a cipher, and then nothing where it is shorter than the cipher's."""
    read = partial(read_at, descriptor)
    return read if cipher is None else encrypting_reader(cipher, read)


def encrypting_reader(cipher: "FileCipher", plain: ReadAt) -> ReadAt:
    """Reads a file encrypted; nothing where it is shorter than the cipher's."""
    from ptolemy_core.encryption import Encrypted  # it loads ciphers

    view = Encrypted(_Plain(plain), cipher)

    def read(buffer: memoryview, offset: int) -> int:
        try:
            return view.read_into(offset, buffer)
        except SourceChangedError:
            return 0

    return read


def read_at(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill `view` with a file's bytes from `offset`; returns how many there were."""
    done = 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done:]], offset + done)
        if not got:
            break
        done += got
    return done


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
