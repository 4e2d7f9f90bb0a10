"""From what CARs of an encrypted project hold to its real names, link targets and files, by CARs and key alone.

Without the key, names and files come out as they are in CARs; names that no file system takes are shortened.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ptolemy_core.encryption import plain_size
from ptolemy_core.encryption.form import encrypted_length
from ptolemy_core.encryption.text import looks_encrypted
from ptolemy_core.errors import DamagedError
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.decrypt import header_in_car
from ptolemy_core.restore.path import Path, path_of
from ptolemy_core.restore.report import FileItem, Segment
from ptolemy_core.restore.walk import TreeEntry
from ptolemy_core.tree import paths

if TYPE_CHECKING:
    from ptolemy_core.encryption import ProjectCipher

MAX_NAME = 255
"""Bytes of a name that file systems take."""
_MAX_ENCRYPTED = int(encrypted_length(np.array(MAX_NAME)))
"""Bytes of the longest name once encrypted."""
_KEPT = 200
_DIGEST = 16


class Plaintext:
    """What entries of CARs are once decrypted.

    Args:
        blocks: of the CARs.
        cipher: of their project; None if they aren't encrypted, or the key isn't there.
    """

    def __init__(self, blocks: Blocks, cipher: "ProjectCipher | None") -> None:
        self._blocks = blocks
        self._cipher = cipher

    def path(self, path: Path) -> Path:
        """The real path of an entry.

        Raises:
            DamagedError: a name in it isn't the project's.
        """
        if self._cipher is not None:
            return path_of(paths.names(self._cipher.real_path(bytes(path)))) if path.depth else path
        return (
            path if all(len(one.name) <= MAX_NAME for one in path.upwards()) else path_of(map(_short, path))
        )

    def shown(self, path: Path) -> Path:
        """A path for messages: the real one, as far as it can be decrypted."""
        if self._cipher is None or not path.depth:
            return path
        return path_of(paths.names(self._cipher.known_path(bytes(path))))

    def target(self, entry: TreeEntry) -> bytes:
        """The real target of a link.

        Raises:
            DamagedError: it isn't the project's, or another link's.
        """
        target = entry.target or b""
        return target if self._cipher is None else self._cipher.real_target(bytes(entry.path), target)

    def size(self, size: int) -> int:
        """Bytes of a whole file, from those that it has in CARs.

        Raises:
            DamagedError: an encrypted file can't have that size.
        """
        return size if self._cipher is None else plain_size(size, self._cipher.form.segment)

    def known_size(self, size: int) -> int:
        """As `size`; 0 of what can't be decrypted, which is told when it is written."""
        try:
            return self.size(size)
        except DamagedError:
            return 0

    def file(self, path: Path, parts: Sequence[TreeEntry]) -> FileItem:
        """The file whose whole content is in these entries, to write to a real path.

        Raises:
            DamagedError: it isn't an encrypted file.
            BlockError: its first block isn't there.
        """
        item = as_stored(path, parts)
        if self._cipher is None:
            return item
        car_path, plain = bytes(parts[0].path), self.size(item.size)
        header = header_in_car(self._blocks, item)
        return FileItem(path, plain, item.segments, cipher=self._cipher.file(car_path, header, plain))


def as_stored(path: Path, parts: Sequence[TreeEntry]) -> FileItem:
    """A file, or some shards of one, as CARs have it."""
    segments = []
    at = 0
    for part in parts:
        segments.append(Segment(at, part.size, part.cid, part.spot))
        at += part.size
    return FileItem(path, at, tuple(segments))


def _short(name: bytes) -> bytes:
    """An encrypted name that a file system takes: its beginning, and a digest of it."""
    if not MAX_NAME < len(name) <= _MAX_ENCRYPTED or not looks_encrypted(name):
        return name
    return name[:_KEPT] + b"~" + hashlib.sha256(name).hexdigest()[:_DIGEST].encode()
