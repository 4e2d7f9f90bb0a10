"""The CID of an open file, read through its descriptor, so that renames can't substitute another file."""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ptolemy_core import kernel
from ptolemy_core.dag.file_cid import FileCid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.source.open_file import ReadAt, reader_of

if TYPE_CHECKING:
    from ptolemy_core.encryption import FileCipher

_BATCH = 16 << 20
"""Bytes that are read and hashed together: sixteen leaves of the profile."""
_PREFETCH = 3
"""Batches in progress at a time."""


class ContentReader:
    """Computes CIDs of open files. Used as a context manager, which ends its threads."""

    def __init__(self, profile: Profile, progress: Callable[[int], None] | None = None) -> None:
        """A reader for a profile; `progress` is called with the bytes read since the last call."""
        self._profile = profile
        self._progress = progress
        self._batch = max(1, _BATCH // profile.chunk) * profile.chunk
        self._buffers = Buffers(self._batch)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="content")

    def __enter__(self) -> "ContentReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def cid(self, descriptor: int, size: int, cipher: "FileCipher | None" = None) -> bytes | None:
        """The binary CID of a file's first `size` bytes; None if it is shorter.

        Args:
            descriptor: of the file.
            size: bytes.
            cipher: of an encrypted file of that size: the CID is that of the file once encrypted.

        Raises:
            OSError: it can't be read.
        """
        read = reader_of(descriptor, cipher)
        size = size if cipher is None else cipher.segments.size
        file_cid = FileCid(size, self._profile)
        if size <= self._profile.chunk:
            data = bytearray(size)
            if read(memoryview(data), 0) < size:
                return None
            self._advance(size)
            file_cid.update([hashlib.sha256(data).digest()])
            return file_cid.finish()
        running: deque[tuple[int, Future[list[bytes] | None]]] = deque()
        starts = deque(range(0, size, self._batch))
        try:
            while starts or running:
                while starts and len(running) < _PREFETCH:
                    start = starts.popleft()
                    length = min(self._batch, size - start)
                    running.append((length, self._pool.submit(self._digests, read, start, length)))
                length, future = running.popleft()
                digests = future.result()
                if digests is None:
                    return None
                file_cid.update(digests)
                self._advance(length)
        finally:  # no thread may read from the descriptor after its owner closes it
            for _, future in running:
                future.cancel()
            for _, future in running:
                if not future.cancelled():
                    future.exception()
        return file_cid.finish()

    def _advance(self, size: int) -> None:
        if self._progress:
            self._progress(size)

    def _digests(self, read: ReadAt, start: int, length: int) -> list[bytes] | None:
        """Digests of the leaves in a range of the file; None if the file is shorter."""
        buffer = self._buffers.take()
        view = memoryview(buffer)[:length]
        try:
            if read(view, start) < length:
                return None
            offsets = np.arange(0, length, self._profile.chunk, dtype=np.int64)
            lengths = np.minimum(length - offsets, self._profile.chunk)
            return [row.tobytes() for row in kernel.sha256_ranges(view, offsets, lengths)]
        finally:
            view.release()
            self._buffers.give(buffer)
