"""The bytes that items take in a CAR: the sizes of their blocks, and of the contiguous range of their sections."""

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, unixfs
from ptolemy_core.dag.profile import Profile
from ptolemy_core.tree import Kind


def item_extents(kinds: NDArray[np.int8], sizes: NDArray[np.int64], profile: Profile) -> balanced.Extents:
    """The extents of items; `sizes` are bytes of a file or shard, a link's target length, anything for a folder.

    An item's blocks are contiguous, so `span` is the length of its byte range in a CAR.
    """
    sizes = np.where(kinds == Kind.DIRECTORY, unixfs.PLAIN_DIRECTORY_DATA, sizes)
    for row in np.flatnonzero(kinds == Kind.SYMLINK).tolist():
        sizes[row] = unixfs.symlink_block_size(int(sizes[row]))
    out = balanced.Extents(
        sizes, sizes.copy(), balanced.section_sizes(sizes), np.ones(len(sizes), dtype=np.int64)
    )
    large = (kinds == Kind.FILE) & (sizes > profile.chunk)
    if large.any():
        out.put(large, balanced.extents(sizes[large], profile))
    return out
