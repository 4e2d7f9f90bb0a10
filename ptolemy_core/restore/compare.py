"""Compares a file on disk with the leaves that it should have: which of its ranges are right.

Ranges of raw leaves under sha2-256 are hashed many at a time by the kernel; the file's bytes decide, not its
size or time.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ptolemy_core.progress import Progress
from ptolemy_core.reader.hashes import hash_matches, is_profile_cid, mismatches, parse_cid
from ptolemy_core.restore.dag import Leaf
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.source.open_file import ReadAt

BATCH_BYTES = 16 << 20
"""Bytes that are hashed together; sixteen leaves of the profile."""
BATCH_LEAVES = 512

MAX_LEAF = 8 << 20
"""Bytes of a leaf at most: `reader.MAX_SECTION`."""


def wrong_leaves(buffer: memoryview, batch: list[tuple[Leaf, int]]) -> list[int]:
    """Numbers of the leaves whose bytes in `buffer`, at the offset given with each, aren't theirs."""
    usual = [k for k, (leaf, _) in enumerate(batch) if leaf.data is None and is_profile_cid(leaf.cid)]
    wrong = mismatches(
        buffer,
        [batch[k][0].cid for k in usual],
        [batch[k][1] for k in usual],
        [batch[k][0].length for k in usual],
    )
    out = [usual[k] for k in wrong]
    if len(usual) < len(batch):
        known = set(usual)
        for k, (leaf, at) in enumerate(batch):
            if k in known:
                continue
            data = bytes(buffer[at : at + leaf.length])
            if leaf.data is not None:
                right: bool | None = data == leaf.data
            else:
                right = hash_matches(parse_cid(leaf.cid), data)
            if not right:
                out.append(k)
    return sorted(out)


def batches(leaves: Iterable[Leaf]) -> Iterator[list[Leaf]]:
    """Consecutive leaves, at most BATCH_BYTES and BATCH_LEAVES together."""
    batch: list[Leaf] = []
    size = 0
    for leaf in leaves:
        if batch and (size + leaf.length > BATCH_BYTES or len(batch) == BATCH_LEAVES):
            yield batch
            batch, size = [], 0
        batch.append(leaf)
        size += leaf.length
    if batch:
        yield batch


def compare(
    read: ReadAt,
    leaves: Iterable[Leaf],
    pool: ThreadPoolExecutor,
    *,
    ahead: int = 3,
    buffers: Buffers | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Leaf, bool]]:
    """Each leaf with whether the file has its bytes, in order.

    Args:
        read: reads the file.
        leaves: of the file, by their places in it.
        pool: that reads and hashes.
        ahead: batches under way at once.
        buffers: of BATCH_BYTES + MAX_LEAF or more each.
        progress: called with the bytes compared since the last call.

    Raises:
        OSError: the file can't be read.
    """
    spare = buffers or Buffers(BATCH_BYTES + MAX_LEAF)

    def work(batch: list[Leaf]) -> set[int]:
        buffer = spare.take()
        view = memoryview(buffer)
        try:
            first = batch[0].start
            size = batch[-1].start + batch[-1].length - first
            got = read(view[:size], first)
            there = [(leaf, leaf.start - first) for leaf in batch if leaf.start + leaf.length <= first + got]
            return set(wrong_leaves(view, there)) | set(range(len(there), len(batch)))
        finally:
            view.release()
            spare.give(buffer)

    running: deque[tuple[list[Leaf], Future[set[int]]]] = deque()

    def done() -> Iterator[tuple[Leaf, bool]]:
        batch, future = running.popleft()
        wrong = future.result()
        if progress:
            progress(sum(leaf.length for leaf in batch))
        for k, leaf in enumerate(batch):
            yield leaf, k not in wrong

    try:
        for batch in batches(leaves):
            running.append((batch, pool.submit(work, batch)))
            if len(running) > ahead:
                yield from done()
        while running:
            yield from done()
    finally:
        for _, future in running:
            future.cancel()
        for _, future in running:
            if not future.cancelled():
                future.exception()
