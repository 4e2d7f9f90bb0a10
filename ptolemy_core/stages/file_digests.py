"""SHA-256 of whole files as the source has them: what proves later that a file is the one that was stored."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ptolemy_core import interrupts
from ptolemy_core.catalog.containers import Content
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import WHOLE
from ptolemy_core.project import Project
from ptolemy_core.source import Files, open_target
from ptolemy_core.tree import Kind

_STEP = 4 << 20
_THREADS = 4


def file_digests(project: Project, content: Content) -> dict[int, bytes]:
    """The SHA-256 of each file of a container, by the file's id; of a split file where its first shard is.

    Each file is read once more than the build reads it, in one stream.

    Raises:
        SourceError: a file can't be read, or changed since the scan.
    """
    if not project.file_sha256:
        return {}
    source = open_target(project)
    chosen = [
        item
        for item in range(len(content.items))
        if content.items.kinds[item] == Kind.FILE and content.items.shards[item] in (WHOLE, 0)
    ]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="sha256") as pool:
        try:
            with interrupts.let_through():
                found = list(pool.map(lambda item: _digest(source, content, item), chosen))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {int(content.file_ids[item]): digest for item, digest in zip(chosen, found, strict=True)}


def _digest(source: Files, content: Content, item: int) -> bytes:
    digest = hashlib.sha256()
    path, stamp = content.items.paths[item], content.stamps[item]
    buffer = memoryview(bytearray(min(_STEP, stamp.size)))
    try:
        for offset, size in _steps(stamp.size):
            source.read(path, offset, [buffer[:size]], stamp)
            digest.update(buffer[:size])
    except SourceError as error:
        error.item = item
        raise
    return digest.digest()


def _steps(size: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the reads of a file; one of an empty file, which checks its stamp."""
    for offset in range(0, max(1, size), _STEP):
        yield offset, min(_STEP, size - offset)
