"""The folders of a tree, encoded from entries with known CIDs in path order; each folder after its last entry.

Only the links of open folders are in memory. Plain folders and HAMTs are as in `dag.unixfs` and `dag.hamt`.
"""

import hashlib
import itertools
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car.spool import IN_OTHER_CAR, Spool
from ptolemy_core.dag import cid, dagpb, hamt, unixfs
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import PlanError
from ptolemy_core.tree import SEPARATOR
from ptolemy_core.tree.paths import common_folders


class Target(NamedTuple):
    """The target of a link: binary CID, Tsize in bytes, and its block's number in the spool or IN_OTHER_CAR."""

    cid: bytes
    tsize: int
    block: int = IN_OTHER_CAR


class Targets(NamedTuple):
    """The targets of many links, as columns: see `Target`."""

    cids: Sequence[bytes]
    tsizes: NDArray[np.int64]
    blocks: NDArray[np.int64]

    def part(self, low: int, high: int) -> "Targets":
        """Those from `low` up to `high`."""
        return Targets(self.cids[low:high], self.tsizes[low:high], self.blocks[low:high])


class FolderTree:
    """Encodes the folders of the entries that are added, into a spool."""

    def __init__(self, spool: Spool, profile: Profile) -> None:
        self._spool = spool
        self._profile = profile
        self._names: list[bytes] = []  # of the open folders below the root
        self._open = [_Links()]
        self._folder = b""

    def add(self, paths: Sequence[bytes], targets: Targets) -> None:
        """Add files, links and empty folders; paths are NUL-joined and must be added folder by folder:
        all entries below a folder one after the other.

        Raises:
            OSError, PlanError: see `finish`.
        """
        at = 0
        names: list[bytes] = []
        for path in paths:
            folder, _, name = path.rpartition(SEPARATOR)
            if folder != self._folder:
                self._open[-1].extend(names, targets.part(at, at + len(names)))
                at, names = at + len(names), []
                self._enter(folder)
            names.append(name)
        self._open[-1].extend(names, targets.part(at, at + len(names)))

    def _enter(self, folder: bytes) -> None:
        """Let a folder be the open one; those that it isn't in are complete."""
        wanted = folder.split(SEPARATOR) if folder else []
        self._close(common_folders(self._names, wanted))
        for opened in wanted[len(self._names) :]:
            self._names.append(opened)
            self._open.append(_Links())
        self._folder = folder

    def finish(self) -> Target:
        """The root, after all entries are added.

        Raises:
            OSError: writing the spool failed.
            PlanError: two names in a folder have the same HAMT hash.
        """
        self._close(0)
        return self._open[0].encode(self._spool, self._profile)

    def _close(self, depth: int) -> None:
        """Encode the open folders deeper than this."""
        while len(self._names) > depth:
            target = self._open.pop().encode(self._spool, self._profile)
            one = Targets([target.cid], np.array([target.tsize]), np.array([target.block]))
            self._open[-1].extend([self._names.pop()], one)


class _Links:
    """The links of one folder, as columns: a folder may have ten million."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("q", [0])
        self._cids = bytearray()
        self._tsizes = array("q")
        self._blocks = array("q")
        self._size = unixfs.PLAIN_DIRECTORY_DATA

    def extend(self, names: Sequence[bytes], targets: Targets) -> None:
        """Add links."""
        if not names:
            return
        lengths = np.fromiter(map(len, names), dtype=np.int64, count=len(names))
        self._ends.frombytes((len(self._names) + np.cumsum(lengths)).tobytes())
        self._names += b"".join(names)
        self._cids += b"".join(targets.cids)
        self._tsizes.frombytes(targets.tsizes.tobytes())
        self._blocks.frombytes(targets.blocks.tobytes())
        self._size += int(dagpb.link_sizes(lengths, targets.tsizes).sum())

    def encode(self, spool: Spool, profile: Profile) -> Target:
        """Write the folder's block, or those of its HAMT, to the spool."""
        count = len(self._blocks)
        if self._size > profile.hamt_threshold:
            hashes = np.fromiter(
                (int.from_bytes(hamt.name_hash(self._name(k)), "big") for k in range(count)),
                dtype=np.uint64,
                count=count,
            )
            order = np.argsort(hashes, kind="stable")
            return self._hamt(hashes[order], order, 0, spool)
        names = [self._name(k) for k in range(count)]
        numbers = sorted(
            range(count), key=names.__getitem__
        )  # encrypted names come in the order of plain ones
        links = [self._link(k, names[k]) for k in numbers]
        return _put(spool, links, unixfs.DIRECTORY, [self._blocks[k] for k in numbers])

    def _name(self, number: int) -> bytes:
        return bytes(self._names[self._ends[number] : self._ends[number + 1]])

    def _link(self, number: int, name: bytes) -> dagpb.Link:
        target = bytes(self._cids[cid.SIZE * number : cid.SIZE * (number + 1)])
        return dagpb.Link(name, target, self._tsizes[number])

    def _hamt(self, hashes: NDArray[np.uint64], order: NDArray[np.int64], level: int, spool: Spool) -> Target:
        """The HAMT node of these entries, whose hashes share their first `level` bytes."""
        if level == hamt.HASH_BYTES:
            clash = b", ".join(self._name(k) for k in order.tolist())
            raise PlanError(f"these names in one folder have the same hash, rename one of them: {clash!r}")
        slots = (hashes >> np.uint64(8 * (hamt.HASH_BYTES - 1 - level)) & np.uint64(0xFF)).astype(np.int64)
        edges = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)]
        links, blocks = [], []
        for low, high in itertools.pairwise(edges):
            prefix = b"%02X" % int(slots[low])
            if high - low == 1:
                number = int(order[low])
                links.append(self._link(number, prefix + self._name(number)))
                blocks.append(self._blocks[number])
            else:
                child = self._hamt(hashes[low:high], order[low:high], level + 1, spool)
                links.append(dagpb.Link(prefix, child.cid, child.tsize))
                blocks.append(child.block)
        message = unixfs.hamt_message(int(slots[low]) for low in edges[:-1])
        return _put(spool, links, message, blocks)


def _put(spool: Spool, links: list[dagpb.Link], message: bytes, blocks: list[int]) -> Target:
    block = dagpb.encode_node(links, message)
    own = cid.of_digest(cid.DAG_PB, hashlib.sha256(block).digest())
    return Target(own, sum(link.tsize for link in links) + len(block), spool.add(own, block, blocks))
