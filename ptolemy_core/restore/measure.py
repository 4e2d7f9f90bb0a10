"""How much a tree holds, known before it is walked: entries, bytes and depth of a folder that occurs often are
counted once and multiplied, so that the time depends on the blocks that CARs hold and not on what they describe.

A CAR of a few KB can describe 2^40 entries, or as many bytes, by folders and files that repeat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.errors import PtolemyError
from ptolemy_core.reader.hashes import parse_cid
from ptolemy_core.reader.links import Link
from ptolemy_core.restore.blocks import BlockError, Blocks, MissingBlockError, Spot
from ptolemy_core.restore.dag import MAX_PATH_BYTES, Seen, look, read_node
from ptolemy_core.restore.path import ROOT
from ptolemy_core.restore.walk import Folder, Tree, Wanted
from ptolemy_core.sizes import readable

MAX_DEPTH = 4096
"""Depth of nested folders that is walked by default."""
_FEW_ENTRIES = 1_000_000
_ENTRY_BYTES = 64
"""Bytes that an entry takes in CARs at least, with its link, if it isn't repeated."""
_FEW_BYTES = 64 << 30
_EXPANSION = 16
"""Times the size of its CARs that a tree may have."""
_WORTH_KEEPING = 64
"""Links below a folder from which its sums are kept, to be used again where it repeats."""
_SAID_EACH = 1000
_FILE_LEVELS = 16
"""Levels of nodes of a file at most that are followed to its first leaf."""
_CEILING = 1 << 200
"""No sum grows beyond."""


class LimitError(PtolemyError):
    """A tree beyond the limits; nothing was written."""

    code = "limit-exceeded"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tree may hold at most; None: what CARs of the size given can hold without repeating much.

    Attributes:
        entries: files, links and folders.
        bytes: of all files together.
        depth: of nested folders.
    """

    entries: int | None = None
    bytes: int | None = None
    depth: int | None = None

    def of(self, car_bytes: int) -> "Limits":
        """These limits in numbers, for CARs of so many bytes."""
        return Limits(
            max(_FEW_ENTRIES, car_bytes // _ENTRY_BYTES) if self.entries is None else self.entries,
            max(_FEW_BYTES, car_bytes * _EXPANSION) if self.bytes is None else self.bytes,
            MAX_DEPTH if self.depth is None else self.depth,
        )

    def check_tree(self, total: "Total") -> None:
        """See that a tree isn't too large to be walked.

        Raises:
            LimitError: it is.
        """
        assert self.entries is not None
        assert self.depth is not None
        if total.entries > self.entries:
            raise LimitError(
                f"the CARs describe {_count(total.entries)} entries, far more than they hold without repeating "
                f"folders; the limit is {self.entries:,}: --max-entries raises it, --path takes a part"
            )
        if total.depth > self.depth:
            raise LimitError(
                f"the CARs describe folders nested {total.depth:,} deep, the limit is {self.depth:,}: "
                "--max-depth raises it, --path takes a part"
            )

    def check_bytes(self, size: int) -> None:
        """See that files aren't too large together to be written.

        Raises:
            LimitError: they are.
        """
        assert self.bytes is not None
        if size > self.bytes:
            raise LimitError(
                f"the CARs describe {_count(size)} bytes of files, far more than they hold without repeating "
                f"blocks; the limit is {self.bytes:,} ({readable(self.bytes)}): --max-bytes raises it, --path takes "
                "a part"
            )


def _count(number: int) -> str:
    return f"{number:,}" if number < 1 << 63 else "more than 2^63"


@dataclass(slots=True)
class Total:
    """What a tree, or what is below a folder, holds.

    Attributes:
        entries, size: files, links and folders, and bytes of files (as their roots state them).
        depth: names in the longest path.
        lost: entries whose block is in no CAR.
        cars: the CARs that have blocks of it, as bits of their numbers.
        content: the CARs that have files' bytes or links of it, as bits.
        links: that were followed to know this.
        span: bytes of the CAR from the folder's block to what is behind it.
    """

    entries: int = 0
    size: int = 0
    depth: int = 0
    lost: int = 0
    cars: int = 0
    content: int = 0
    links: int = 0
    span: int = 0

    def add(self, other: "Total", levels: int = 0) -> None:
        """Take what is so many levels below."""
        self.entries = min(self.entries + other.entries, _CEILING)
        self.size = min(self.size + other.size, _CEILING)
        self.depth = max(self.depth, other.depth + levels)
        self.lost = min(self.lost + other.lost, _CEILING)
        self.cars |= other.cars
        self.content |= other.content


class _Open(NamedTuple):
    """A folder that is being measured: `levels` is 0 for a shard of one, `key` is what it is kept under."""

    folder: Folder
    total: Total
    spot: Spot
    levels: int
    key: tuple[bytes, int]


class Measure:
    """Measures trees of the same CARs; what it learnt of a folder serves for all of them.

    Args:
        blocks: of the CARs.
        walked: called with the links followed since the last call.
    """

    def __init__(self, blocks: Blocks, walked: Callable[[int], None]) -> None:
        self._blocks = blocks
        self._walked = walked
        self._unsaid = 0
        self._known: dict[tuple[bytes, int], Total] = {}
        self._near = Spot(0, 0)
        self._stack: list[_Open] = []
        self._path_bytes = 0

    def tree(self, tree: Tree) -> Total:
        """What is asked for of a tree; of what can't be read, only that it is there."""
        self._near = Spot(tree.car, self._blocks.cars[tree.car].start)
        self._stack, self._path_bytes = [], 0
        out = Total()
        try:
            if self._again(tree.root, tree.wanted, out, 0):
                return out
            seen = look(self._blocks, tree.root, self._near)
            if seen.kind != "directory":
                self._content(seen, out)
                out.entries = out.depth = 1
                return out
            self._open(seen, tree.root, tree.wanted, 0)
        except BlockError as error:
            return Total(lost=int(isinstance(error, MissingBlockError)))
        while True:
            top = self._stack[-1]
            if top.folder.next < len(top.folder.links):
                link = top.folder.links[top.folder.next]
                top.folder.next += 1
                self._follow(tree, top, link)
                continue
            self._close()
            if not self._stack:
                self._walked(self._unsaid)
                self._unsaid = 0
                return top.total

    def _open(self, seen: Seen, cid: bytes, wanted: Wanted, levels: int, level: int = 0) -> None:
        assert seen.node is not None
        folder = Folder(seen.node, ROOT, wanted, level)
        if self._path_bytes + folder.size > MAX_PATH_BYTES:
            raise BlockError("too deep")
        self._path_bytes += folder.size
        self._near = seen.next
        self._stack.append(
            _Open(folder, Total(cars=1 << seen.spot.car), seen.spot, levels, (cid, id(wanted)))
        )

    def _close(self) -> None:
        done = self._stack.pop()
        self._path_bytes -= done.folder.size
        if self._near.car == done.spot.car:
            done.total.span = self._near.offset - done.spot.offset
        if done.total.links >= _WORTH_KEEPING:
            self._known[done.key] = done.total
        if self._stack:
            self._stack[-1].total.add(done.total, done.levels)
            self._stack[-1].total.links += done.total.links

    def _follow(self, tree: Tree, top: _Open, link: Link) -> None:
        folder, total = top.folder, top.total
        total.links += 1
        self._unsaid += 1
        if self._unsaid == _SAID_EACH:
            self._walked(self._unsaid)
            self._unsaid = 0
        try:
            if folder.digits >= 0 and len(link.name or b"") == folder.digits:
                if not self._again(link.cid, folder.wanted, total, 0):
                    node = folder.shard_below(self._blocks, link, self._near)
                    if node is not None:
                        seen = Seen("directory", 0, node.spot, node.next, None, node)
                        self._open(seen, link.cid, folder.wanted, 0, folder.level + 1)
                return
            name = folder.name(link)
            wanted = folder.wanted.at(name) or folder.wanted.at(tree.naming.file(name)[0])
            if wanted is None:
                return
            total.entries += 1
            total.depth = max(total.depth, 1)
            if self._again(link.cid, wanted, total, 1):
                return
            seen = look(self._blocks, link.cid, self._near)
            if seen.kind == "directory":
                self._open(seen, link.cid, wanted, 1)
                return
            self._near = seen.next
            self._content(seen, total)
        except BlockError as error:
            total.lost += isinstance(error, MissingBlockError)

    def _content(self, seen: Seen, total: Total) -> None:
        """Count a file's bytes, or a link, and the CAR where they are: of a file, its first leaf."""
        total.cars |= 1 << seen.spot.car
        if seen.kind == "file":
            total.size = min(total.size + seen.size, _CEILING)
        node, car = seen.node, seen.spot.car
        for _ in range(_FILE_LEVELS):
            if node is None or not node.links:
                break
            cid = node.links[0].cid
            found = self._blocks.find(cid, node.next)
            car = found.car
            node = (
                read_node(self._blocks, cid, node.next)
                if parse_cid(cid).codec == profile_cid.DAG_PB
                else None
            )
        total.cars |= 1 << car
        total.content |= 1 << car

    def _again(self, cid: bytes, wanted: Wanted, total: Total, levels: int) -> bool:
        """Take the sums of a folder that was measured before."""
        known = self._known.get((cid, id(wanted)))
        if known is None:
            return False
        total.add(known, levels)
        if known.span and self._blocks.expected(cid, self._near):
            self._near = Spot(self._near.car, self._near.offset + known.span)
        return True
