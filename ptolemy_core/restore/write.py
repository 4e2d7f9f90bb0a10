"""Writes files, links and folders out of CARs; `batches` reads and hashes their blocks in threads, many at a time.

A block's bytes reach the disk only after their hash was found right, and a file gets its name only when all of
it is there. A partial file stays, and a later run resumes with what is right in it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from types import TracebackType
from typing import Self

from ptolemy_core.errors import DamagedError
from ptolemy_core.progress import Progress
from ptolemy_core.restore.batches import Batches, Receiver
from ptolemy_core.restore.blocks import BlockError, Blocks
from ptolemy_core.restore.compare import BATCH_BYTES, MAX_LEAF, compare
from ptolemy_core.restore.dag import Leaf, leaves
from ptolemy_core.restore.decrypt import plain_bytes, plain_range, reader
from ptolemy_core.restore.holes import BLOCK, data_runs
from ptolemy_core.restore.path import Path
from ptolemy_core.restore.report import FileItem, Report
from ptolemy_core.restore.target import EntryError, TakenError, Target, TargetError
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.tree import paths

_MAX_FILES = 100
"""Partial files that are open at once."""


@dataclass(eq=False)
class _Open:
    """A file that is being written: in a partial file with a descriptor, or (of one small leaf) not yet at all.

    `blank` says that the partial file has nothing but a hole where something isn't written yet.
    """

    item: FileItem
    part: bytes
    descriptor: int = -1
    blank: bool = False
    whole: bool = False
    fault: str | None = None
    nodes: list[bytes] = field(default_factory=list)
    written: int = 0


class Writer:
    """Restores entries given to `file`, `link` and `folder`; as a context manager it ends its threads.

    Args:
        blocks: of the CARs.
        target: where entries go.
        report: is filled.
        sparse: leave out zeros, so that they are holes.
        threads: that read, hash and write at once.
        progress: called with bytes of files done since the last call.
    """

    def __init__(
        self,
        blocks: Blocks,
        target: Target,
        report: Report,
        *,
        sparse: bool = True,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> None:
        self._blocks = blocks
        self._target = target
        self._report = report
        self._sparse = sparse
        self._progress = progress or (lambda _: None)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="restore")
        self._buffers = Buffers(BATCH_BYTES + MAX_LEAF)
        receiver = Receiver(self._take_leaf, self._leaf_done, self._lost, self._idle)
        self._batches = Batches(blocks, self._pool, self._buffers, receiver)
        self._open: dict[bytes, int] = {}  # partial files under way, with their descriptors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._pool.shutdown(cancel_futures=True)
            for descriptor in self._open.values():
                os.close(descriptor)

    def flush(self) -> None:
        """Wait until all files given so far have their names, or their problems."""
        self._batches.flush()

    # Entries

    def folder(self, path: Path, mtime: int | None = None) -> None:
        """Make a folder."""
        try:
            _check(path)
            found = self._target.look(path) if path.depth else None
            self._target.folder(path)
            if mtime is not None and path.depth:
                self._target.set_folder_time(path, mtime)
        except (EntryError, OSError) as error:
            self._failed(path, error)
        else:
            if found is not None and stat.S_ISDIR(found.st_mode):
                self._report.kept += 1
            else:
                self._report.folders += 1

    def link(self, path: Path, target: bytes, mtime: int | None = None) -> None:
        """Make a symbolic link."""
        try:
            _check(path)
            if not target or b"\0" in target:
                raise EntryError("a link without target, or with NUL in it")
            found = self._target.look(path)
            if found is not None:
                if stat.S_ISLNK(found.st_mode) and self._target.read_link(path) == target:
                    self._report.kept += 1
                    return
                self._target.check_replaceable(path, found)
            self._target.link(path, target, found is not None, mtime)
            self._report.links += 1
        except (EntryError, OSError) as error:
            self._failed(path, error)

    def file(self, item: FileItem) -> None:
        """Restore a file; what is wrong with it goes to the report."""
        try:
            _check(item.path)
            found = self._target.look(item.path)
            if found is not None and self._same(item, found):
                self._report.kept += 1
                self._progress(item.size)
                return
            if found is not None:
                self._target.check_replaceable(item.path, found)
            self._start(item)
        except (EntryError, BlockError, DamagedError, OSError) as error:
            self._failed(item.path, error)

    def _failed(self, path: Path, error: Exception) -> None:
        if isinstance(error, OSError):
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TargetError(
                    f"{paths.display(self._target.path)} is full: free space and run the command again: it resumes"
                ) from error
            error = EntryError(f"can't be written ({error.strerror})")
        self._report.problem(path, str(error))

    def _same(self, item: FileItem, found: os.stat_result) -> bool:
        """Whether the file at its place is the same file."""
        if not stat.S_ISREG(found.st_mode) or found.st_size != item.size:
            return False
        try:
            descriptor = self._target.open_file(item.path)
        except OSError:
            return False
        try:
            wanted = self._leaves(item, [])
            read = reader(item, descriptor)
            return all(right for _, right in compare(read, wanted, self._pool, buffers=self._buffers))
        finally:
            os.close(descriptor)

    def _leaves(self, item: FileItem, nodes: list[bytes]) -> Iterator[Leaf]:
        for part in item.segments:
            yield from leaves(self._blocks, part.cid, part.length, part.spot, part.start, nodes.append)

    # Files

    def _start(self, item: FileItem) -> None:
        nodes: list[bytes] = []
        ranges = self._leaves(item, nodes)
        first, second = next(ranges, None), next(ranges, None)
        file = _Open(item, b"", nodes=nodes)
        if second is None:
            if first is None or first.data is not None:
                data = b"" if first is None else plain_bytes(item, first, first.data or b"")
                self._small(file, data)
            else:
                self._batches.add(first, file)
            return
        part = b"part-" + item.path.key.hex()[:32].encode()
        if part in self._open:
            self.flush()  # an entry of this path is under way: it must be there before this one is looked at
            self.file(item)
            return
        file.part, file.descriptor = part, self._target.open_part(part)
        self._open[part] = file.descriptor
        try:
            before = os.fstat(file.descriptor).st_size
            file.blank = self._sparse and not before
            os.ftruncate(file.descriptor, item.size)
            rest = chain((leaf for leaf in (first, second) if leaf), ranges)
            for leaf in self._unwritten(file, rest) if before else rest:
                if leaf.data is None:
                    self._batches.add(leaf, file)
                else:
                    self._write_leaf(file, leaf, memoryview(leaf.data))
                    file.written += plain_range(item, leaf)[1]
                    self._progress(plain_range(item, leaf)[1])
        except (BlockError, EntryError, DamagedError, OSError) as error:
            file.fault = file.fault or (error.strerror if isinstance(error, OSError) else str(error))
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._failed(item.path, error)
        file.whole = True
        if not self._batches.is_pending(file):
            self._finish(file)
        if len(self._open) > _MAX_FILES:
            self.flush()

    def _unwritten(self, file: _Open, ranges: Iterator[Leaf]) -> Iterator[Leaf]:
        """Of a partial file, the leaves that an earlier run didn't write."""
        read = reader(file.item, file.descriptor)
        for leaf, right in compare(read, ranges, self._pool, buffers=self._buffers):
            if right:
                self._progress(plain_range(file.item, leaf)[1])
            else:
                yield leaf

    @staticmethod
    def _write_leaf(file: _Open, leaf: Leaf, data: memoryview) -> None:
        """Write a leaf into its partial file, decrypted if it is encrypted."""
        plain = plain_bytes(file.item, leaf, data)
        _write(file.descriptor, memoryview(plain), plain_range(file.item, leaf)[0], file.blank)

    def _take_leaf(self, file: _Open, leaf: Leaf, data: memoryview) -> None:
        """Write a leaf that belongs to a partial file; runs in a thread."""
        if file.part:
            try:
                self._write_leaf(file, leaf, data)
            except DamagedError as error:
                file.fault = file.fault or str(error)

    def _leaf_done(self, file: _Open, leaf: Leaf, data: memoryview | None, fault: str) -> None:
        """A leaf was read: its bytes, or what is wrong with them."""
        if data is None:
            file.fault = file.fault or fault
        if not file.part:
            if data is None:
                self._failed(file.item.path, EntryError(file.fault or fault))
                return
            try:
                self._small(file, plain_bytes(file.item, leaf, data))
            except DamagedError as error:
                self._failed(file.item.path, error)
            return
        size = plain_range(file.item, leaf)[1]
        if data is not None:
            file.written += size
        self._progress(size)

    def _lost(self, files: list[_Open], error: OSError) -> None:
        """Leaves of a batch couldn't be written; a partial file says so once it is done."""
        for file in {id(each): each for each in files}.values():
            file.fault = file.fault or f"can't be written ({error.strerror})"
            if not file.part or error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._failed(file.item.path, error)

    def _idle(self, file: _Open) -> None:
        """No leaf of a file is under way."""
        if file.part and file.whole:
            self._finish(file)

    def _small(self, file: _Open, data: bytes | memoryview) -> None:
        """Write a file of one block, or of none."""
        item = file.item
        try:
            descriptor = self._target.open_part(b"new", empty=True)
            try:
                sparse = self._sparse and len(data) >= BLOCK
                if sparse:
                    os.ftruncate(descriptor, len(data))
                _write(descriptor, memoryview(data), 0, sparse)
                self._seal(file, descriptor)
            finally:
                os.close(descriptor)
            self._target.place(b"new", item.path)
        except TakenError as error:
            self._target.drop_part(b"new")
            if self._holds(item.path, data):
                self._report.kept += 1
            else:
                self._failed(item.path, error)
            return
        except (EntryError, OSError) as error:
            self._failed(item.path, error)
            return
        self._progress(len(data))
        self._report.files += 1
        self._report.written_bytes += len(data)

    def _holds(self, path: Path, data: bytes | memoryview) -> bool:
        """Whether the file of this path has these very bytes."""
        try:
            descriptor = self._target.open_file(path)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != len(data):
                return False
            return os.pread(descriptor, len(data), 0) == data
        finally:
            os.close(descriptor)

    def _finish(self, file: _Open) -> None:
        """All batches of a file are done."""
        try:
            if file.fault:
                raise EntryError(file.fault)
            self._seal(file, file.descriptor)
            self._target.place(file.part, file.item.path)
        except (EntryError, OSError) as error:
            if isinstance(error, TakenError):
                self._target.drop_part(file.part)
            self._failed(file.item.path, error)
        else:
            self._report.files += 1
            self._report.written_bytes += file.written
        finally:
            del self._open[file.part]
            os.close(file.descriptor)

    @staticmethod
    def _seal(file: _Open, descriptor: int) -> None:
        """The last look at a file's CID, and its time."""
        wrong = file.item.check(file.nodes) if file.item.check else None
        if wrong:
            raise EntryError(wrong)
        if file.item.mtime is not None:
            os.utime(descriptor, ns=(file.item.mtime, file.item.mtime))


def _check(path: Path) -> None:
    """See that a path is one below the target.

    Raises:
        EntryError: a name in it could lead out of it.
    """
    if path.fault:
        raise EntryError(path.fault)


def _write(descriptor: int, data: memoryview, offset: int, blank: bool) -> None:
    """Write bytes; where the file has nothing but a hole, blocks of zeros are left out."""
    for first, behind in data_runs(data, offset) if blank else ((0, len(data)),):
        run, at = data[first:behind], offset + first
        while len(run):
            done = os.pwrite(descriptor, run, at)
            run, at = run[done:], at + done
