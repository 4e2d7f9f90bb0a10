"""The numbers of the UnixFS profile `unixfs-v1-2025` (IPIP-499) as one value.

Users never change them; tests shrink them to get deep trees from few bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """How files become blocks.

    Attributes:
        chunk: bytes of file data in a leaf (the last leaf of a file may have fewer).
        width: links in a file node, at most.
        hamt_threshold: a folder whose plain block is larger than this many bytes becomes a HAMT.
        hamt_fanout: slots of a HAMT node; 256, so that a slot is one byte of the name's hash.
    """

    chunk: int = 1 << 20
    width: int = 1024
    hamt_threshold: int = 262_144
    hamt_fanout: int = 256

    @property
    def size_unit(self) -> int:
        """Bytes of file data under one full node of leaves: 1 GiB in the profile.

        The unit of shard_size and car_size, so that a shard's nodes are also nodes of the whole file.
        """
        return self.chunk * self.width


UNIXFS_V1_2025 = Profile()
