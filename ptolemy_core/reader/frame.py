"""What a walk holds of a node while the blocks below it come by: its links and what they add up to.

Specification: https://specs.ipfs.tech/unixfs/
"""

from ptolemy_core.reader.dagpb import Link

ROOT = -1
"""The type of the frame whose only link is the CAR's root."""


class Frame:
    """A node whose links are being followed.

    Attributes:
        type: UnixFS type of the node, or ROOT.
        links: its links; `next` is the index of the one whose block is expected.
        offset: byte offset of its section.
        size: bytes of its block.
        total: bytes of its block and of all blocks below it so far.
        damaged: a block below is missing or unreadable, so that sums mean nothing.
        name_size: bytes that its name adds to the path, with the slash.
        height: of a file: levels of nodes down to the leaves, itself counted.
        sizes: of a file: its blocksizes.
        level: of a shard: shards above it.
        bits: of a shard: the slots that lead to it, as bits of the names' hash.
        slots: of a shard: the slot of each link.
        entries: of a shard: entries below it so far.
        flat: of a shard: bytes that their links would take in a plain folder.
    """

    __slots__ = (
        "bits",
        "damaged",
        "entries",
        "flat",
        "height",
        "level",
        "links",
        "name_size",
        "next",
        "offset",
        "size",
        "sizes",
        "slots",
        "total",
        "type",
    )

    def __init__(self, type_: int, links: tuple[Link, ...], offset: int, size: int) -> None:
        self.type = type_
        self.links = links
        self.next = 0
        self.offset = offset
        self.size = size
        self.total = size
        self.damaged = False
        self.name_size = 0
        # of a file
        self.height = 0
        self.sizes: tuple[int, ...] = ()
        # of a HAMT
        self.level = 0
        self.bits = 0
        self.slots: list[int] = []
        self.entries = 0
        self.flat = 0
