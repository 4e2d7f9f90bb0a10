"""Which parts of a buffer are worth writing into a file that holds nothing yet: blocks of zeros can stay holes."""

from collections.abc import Iterator

import numpy as np

BLOCK = 4096
"""Bytes of a file system's block; a hole is made of whole ones."""
_WORDS = BLOCK // 8


def data_runs(view: memoryview, start: int) -> Iterator[tuple[int, int]]:
    """Beginnings and ends, within the buffer, of what isn't zeros.

    Args:
        view: the bytes.
        start: offset in the file of the first of them; blocks are whole in the file.
    """
    size = len(view)
    head = min(-start % BLOCK, size)
    count = (size - head) // BLOCK
    tail = head + count * BLOCK
    words = np.frombuffer(view, dtype=np.uint64, count=count * _WORDS, offset=head if count else 0)
    zero = words.reshape(count, _WORDS)[:, 0] == 0
    likely = np.flatnonzero(zero)
    zero[likely] = ~words.reshape(count, _WORDS)[likely].any(axis=1)
    kept = np.concatenate([[any(view[:head])], ~zero, [any(view[tail:])]])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))).tolist()

    def at(block: int) -> int:
        """Where the piece of this number begins: the bytes before the first block, each block, those after."""
        return 0 if block == 0 else min(head + (block - 1) * BLOCK, size) if block <= count + 1 else size

    for first, behind in zip(edges[::2], edges[1::2], strict=True):
        if at(first) < at(behind):
            yield at(first), at(behind)
