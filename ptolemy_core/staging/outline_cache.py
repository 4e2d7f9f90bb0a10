"""Blocks of outlines that were fetched from a store, kept in a folder of this machine for all its processes.

A block's file begins with the SHA-256 of the rest: what isn't as it was written is fetched again. The folder is
bounded, and what wasn't used for the longest time goes first. Losing it costs nothing but requests.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ptolemy_core import environment

MOST_BYTES = 1 << 30
MOST_FILES = 4096
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class BlockCache:
    """A folder of blocks.

    Attributes:
        folder: made when the first block is kept.
        most_bytes, most_files: what it holds at most.
    """

    folder: str
    most_bytes: int = MOST_BYTES
    most_files: int = MOST_FILES

    def get(self, key: str, fetch: Callable[[], bytes]) -> bytes:
        """A block by its key, which is a file name; raises what `fetch` does, and nothing if the folder fails."""
        path = os.path.join(self.folder, key)
        found = _checked(path)
        if found is not None:
            return found
        data = fetch()
        with suppress(OSError):
            self._keep(path, data)
        return data

    def _keep(self, path: str, data: bytes) -> None:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        part = f"{path}.{secrets.token_hex(4)}.part"
        try:
            with open(part, "xb") as file:
                file.write(hashlib.sha256(data).digest())
                file.write(data)
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise
        self._trim()

    def _trim(self) -> None:
        found: list[tuple[int, int, str]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
        size, count = sum(one[1] for one in found), len(found)
        for _, length, path in sorted(found):
            if size <= self.most_bytes and count <= self.most_files:
                return
            with suppress(OSError):
                os.unlink(path)
            size, count = size - length, count - 1


def outline_cache() -> BlockCache:
    """The cache of this machine's user."""
    return BlockCache(os.path.join(environment.home(), "cache", "outlines"))


def _checked(path: str) -> bytes | None:
    """A block that is kept; None if there is none, or it isn't as it was written."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        os.utime(path)  # it was used
    except OSError:
        return None
    data = content[_DIGEST:]
    return data if hashlib.sha256(data).digest() == content[:_DIGEST] else None
