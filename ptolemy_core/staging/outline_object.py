"""An outline in an object store, read by ranges of the one version that was opened: see `car.outline_bytes`.

It is read in blocks of a MiB, which a cache on this machine keeps: opening one takes a HEAD and one or two GETs, or
the HEAD alone if its blocks are in the cache.
"""

import hashlib
from functools import lru_cache

from ptolemy_core.car.outline_bytes import unreadable
from ptolemy_core.errors import SourceError
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.source.stamps import Stamp
from ptolemy_core.staging.outline_cache import BlockCache

BLOCK = 1 << 20
_IN_MEMORY = 3
"""Blocks that an open outline keeps: of the digests of nodes, of leaves, and of pages."""


class OutlineObject:
    """The bytes of an outline in a store. Any thread may read.

    Args:
        source: the staging area as a source.
        path: of the outline in it.
        stamp: of the version to read.
        cache: of blocks.
    """

    def __init__(self, source: ObjectSource, path: bytes, stamp: Stamp, cache: BlockCache) -> None:
        self.name = source.name(path)
        self.size = stamp.size
        self._source = source
        self._path = path
        self._stamp = stamp
        self._cache = cache
        version = f"{source.mounts().top} {self.name} {stamp.size} {stamp.token}"
        self._key = hashlib.sha256(version.encode()).hexdigest()[:40]
        self._block = lru_cache(_IN_MEMORY)(self._load)

    def read(self, at: int, size: int) -> bytes:
        """Bytes from an offset on; fewer where the outline ends.

        Raises:
            OutlineError: they can't be read, or the outline was replaced.
        """
        end = min(at + size, self.size)
        parts = []
        while at < end:
            number, skipped = divmod(at, BLOCK)
            part = self._block(number)[skipped : skipped + end - at]
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Forget what is in memory."""
        self._block.cache_clear()

    def _load(self, number: int) -> bytes:
        length = min(BLOCK, self.size - number * BLOCK)

        def fetch() -> bytes:
            block = bytearray(length)
            try:
                self._source.read(self._path, number * BLOCK, [memoryview(block)], self._stamp)
            except SourceError as error:
                raise unreadable(self.name, error) from error
            return bytes(block)

        block = self._cache.get(f"{self._key}-{number}", fetch)
        return block if len(block) == length else fetch()
