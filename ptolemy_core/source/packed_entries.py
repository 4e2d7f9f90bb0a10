"""All entries of a source in packed columns: a whole folder passes without an object for each entry."""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel.folders import Walked
from ptolemy_core.source.stamps import Stamps
from ptolemy_core.tree import Kind
from ptolemy_core.tree.packed import PackedPaths

_FORMAT = stat.S_IFMT(0o777777)
_EMPTY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class PackedEntries:
    """Entries in path order: files, links and empty folders.

    Attributes:
        paths: of each.
        kinds: `Kind` of each.
        stamps: of each, with the states that were seen.
        targets: of the links, by index.
    """

    paths: PackedPaths
    kinds: NDArray[np.int8]
    stamps: Stamps
    targets: Mapping[int, bytes]


def packed_entries(walked: list[Walked], link: Callable[[bytes], bytes]) -> PackedEntries:
    """The entries of a walk; `link` gives the target of the link at a path."""
    paths = PackedPaths()
    for part in walked:
        paths.add(part.paths)
    kinds = np.concatenate([_EMPTY.astype(np.int8), *(_kinds(part.modes) for part in walked)])
    sizes = np.concatenate([_EMPTY, *(part.sizes for part in walked)])
    tokens = np.concatenate([_EMPTY, *(part.mtimes for part in walked)])
    states = (np.column_stack((part.ctimes, part.inodes)) for part in walked)
    seen = np.concatenate([_EMPTY.reshape(0, 2), *states])
    sizes[kinds == Kind.DIRECTORY] = 0
    targets = {k: link(paths[k]) for k in np.flatnonzero(kinds == Kind.SYMLINK).tolist()}
    for k, target in targets.items():
        sizes[k] = len(target)
    return PackedEntries(paths, kinds, Stamps(sizes, tokens, seen=seen), targets)


def _kinds(modes: NDArray[np.int64]) -> NDArray[np.int8]:
    formats = modes & _FORMAT
    kinds = np.full(len(modes), Kind.FILE, dtype=np.int8)
    kinds[formats == stat.S_IFDIR] = Kind.DIRECTORY
    kinds[formats == stat.S_IFLNK] = Kind.SYMLINK
    return kinds
