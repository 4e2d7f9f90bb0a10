"""SHA-256 of whole files as the source has them: what proves later that a file is the one that was stored."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ptolemy_core import interrupts
from ptolemy_core.catalog.containers import Content
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import WHOLE
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.source import Files, open_target
from ptolemy_core.tree import Kind

_STEP = 4 << 20
_THREADS = 4


def hashed(content: Content) -> list[int]:
    """The items of a container whose files are hashed with it: a split file is where its first shard is."""
    return [
        item
        for item in range(len(content.items))
        if content.items.kinds[item] == Kind.FILE and content.items.shards[item] in (WHOLE, 0)
    ]


def file_digests(
    project: Project, content: Content, chosen: Sequence[int], progress: Progress
) -> list[bytes]:
    """The SHA-256 of files of a container as the source has them.

    Each file is read once more than the build reads it, in one stream.

    Args:
        project: whose files.
        content: of the container.
        chosen: the items, as `hashed` gives them.
        progress: called by one thread at a time with bytes hashed since the last call.

    Raises:
        SourceError: a file can't be read, or changed since the scan.
    """
    source = open_target(project)
    lock = threading.Lock()

    def advance(size: int) -> None:
        with lock:
            progress(size)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="sha256") as pool:
        try:
            with interrupts.let_through():
                return list(pool.map(lambda item: _digest(source, content, item, advance), chosen))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _digest(source: Files, content: Content, item: int, advance: Progress) -> bytes:
    digest = hashlib.sha256()
    path, stamp = content.items.paths[item], content.stamps[item]
    buffer = memoryview(bytearray(min(_STEP, stamp.size)))
    try:
        for offset, size in _steps(stamp.size):
            source.read(path, offset, [buffer[:size]], stamp)
            digest.update(buffer[:size])
            advance(size)
    except SourceError as error:
        error.item = item
        raise
    return digest.digest()


def _steps(size: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the reads of a file; one of an empty file, which checks its stamp."""
    for offset in range(0, max(1, size), _STEP):
        yield offset, min(_STEP, size - offset)
