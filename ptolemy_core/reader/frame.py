"""The state of a walk for one node while its subtree is read: its links and their running totals.

Specification: https://specs.ipfs.tech/unixfs/
"""

from collections.abc import Sequence

from ptolemy_core.reader.links import Link

ROOT = -1
"""The type of the frame whose only link is the CAR's root."""


class Frame:
    """A node whose links are being followed.

    Attributes:
        type: UnixFS type of the node, or ROOT.
        links: its links; `next` is the index of the link whose block is expected next.
        offset: byte offset of its section.
        size: bytes of its block.
        total: bytes of all blocks of its subtree so far.
        damaged: whether a block of the subtree is missing or unreadable, so that totals are meaningless.
        name_size: bytes that its name adds to the path, including the slash.
        height: (files) levels of nodes down to the leaves, including itself.
        sizes: (files) its blocksizes.
        level: (HAMT nodes) number of ancestors in the HAMT.
        bits: (HAMT nodes) the slots on the path to it, as bits of the names' hashes.
        slots: (HAMT nodes) the slot of each link.
        entries: (HAMT nodes) entries in its subtree so far.
        flat: (HAMT nodes) bytes that the links of those entries would take in a plain folder.
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

    def __init__(self, type_: int, links: Sequence[Link], offset: int, size: int) -> None:
        self.type = type_
        self.links = links
        self.next = 0
        self.offset = offset
        self.size = size
        self.total = size
        self.damaged = False
        self.name_size = 0
        # files
        self.height = 0
        self.sizes: tuple[int, ...] = ()
        # HAMT nodes
        self.level = 0
        self.bits = 0
        self.slots: list[int] = []
        self.entries = 0
        self.flat = 0
