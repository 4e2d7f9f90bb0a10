"""The numbers of the UnixFS profile `unixfs-v1-2025` (IPIP-499) as one value.

Users never set them; tests shrink them so that deep trees need few bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """How files become blocks.

    Attributes:
        chunk: bytes of file data in one leaf (all but the last leaf of a file).
        width: links at most in one file node.
        hamt_threshold: a folder whose plain block is larger than this many bytes becomes a HAMT.
        hamt_fanout: slots of a HAMT node; 256, so that a slot is one byte of the name's hash.
    """

    chunk: int = 1 << 20
    width: int = 1024
    hamt_threshold: int = 262_144
    hamt_fanout: int = 256

    @property
    def unit(self) -> int:
        """Bytes under one full file node: 1 GiB in the profile.

        shard_size and car_size count in this unit, so that a shard's nodes are nodes of its file.
        """
        return self.chunk * self.width


UNIXFS_V1_2025 = Profile()
