"""The profile's rules for a single node: the checks that need no other block.

Specification: profile `unixfs-v1-2025` of IPIP-499 (https://specs.ipfs.tech/ipips/ipip-0499/).
"""

from itertools import pairwise

from ptolemy_core.dag.profile import Profile
from ptolemy_core.reader import hamt
from ptolemy_core.reader.dagpb import Node, Type, UnixFs
from ptolemy_core.reader.findings import Code
from ptolemy_core.reader.links import LinkRun

Faults = list[tuple[Code, str]]


def file_height(size: int, profile: Profile) -> int:
    """Levels of nodes above the leaves of a file of `size` bytes; 0 for a single leaf."""
    height, span = 0, profile.chunk
    while span < size:
        height, span = height + 1, span * profile.width
    return height


def check_file(node: Node, unixfs: UnixFs, height: int, profile: Profile) -> Faults:
    """Check an inner node of a file: raw leaves at one depth, all children full except the last, no inline data.

    Args:
        node: the dag-pb node.
        unixfs: its Data.
        height: levels of nodes from this one down to the leaves, including itself.
        profile: chunk and width.
    """
    if not node.links or unixfs.type != Type.FILE:
        return [(Code.LAYOUT, "file data in a dag-pb node; the profile uses raw leaves")]
    faults: Faults = []
    if unixfs.data is not None or unixfs.filesize is None or _foreign_fields(unixfs, True):
        faults.append((Code.UNIXFS, "a file node with fields other than filesize and blocksizes"))
    if any(link.name for link in node.links):
        faults.append((Code.UNIXFS, "a file node with a named link"))
    sizes = unixfs.blocksizes
    if len(sizes) != len(node.links):
        faults.append((Code.UNIXFS, f"{len(sizes)} blocksizes for {len(node.links)} links"))
    size = unixfs.filesize or 0
    if sum(sizes) != size:
        faults.append((Code.FILESIZE, f"filesize is {size}, but the blocksizes add up to {sum(sizes)}"))
    if len(node.links) > profile.width:
        faults.append((Code.LAYOUT, f"{len(node.links)} links; a file node has at most {profile.width}"))
    full = profile.chunk * profile.width ** max(height - 1, 0)
    if any(each != full for each in sizes[:-1]) or (sizes and not 0 < sizes[-1] <= full):
        faults.append(
            (Code.LAYOUT, f"blocksizes at height {height} must be {full}, the last one 1 to {full}")
        )
    return faults


def check_directory(node: Node, unixfs: UnixFs, size: int, profile: Profile) -> Faults:
    """Check a plain folder with a block of `size` bytes: sorted, only the type in its Data, within the threshold."""
    faults = _unsorted(node)
    if (
        unixfs.data is not None
        or unixfs.filesize is not None
        or unixfs.blocksizes
        or _foreign_fields(unixfs, True)
    ):
        faults.append((Code.UNIXFS, "a folder with fields other than its type"))
    if size > profile.hamt_threshold:
        reason = (
            f"a plain folder with a block of {size} bytes; above {profile.hamt_threshold} it must be sharded"
        )
        faults.append((Code.LAYOUT, reason))
    return faults


def check_symlink(node: Node, unixfs: UnixFs) -> Faults:
    """Check a symbolic link: a target and nothing else."""
    faults: Faults = []
    if not unixfs.data or b"\0" in unixfs.data:
        faults.append((Code.UNIXFS, "a symbolic link whose target is empty or contains NUL"))
    if node.links or unixfs.filesize is not None or unixfs.blocksizes or _foreign_fields(unixfs, True):
        faults.append((Code.UNIXFS, "a symbolic link with fields other than its target"))
    return faults


def check_hamt(node: Node, unixfs: UnixFs, slots: list[int], profile: Profile) -> Faults:
    """Check a HAMT node: hash and fanout of the profile, a bitfield that matches the links, sorted links.

    Args:
        node: the dag-pb node.
        unixfs: its Data.
        slots: the slot of each link, -1 if its name has no valid slot.
        profile: the fanout.
    """
    faults = _unsorted(node)
    if unixfs.hash_type != hamt.MURMUR3_X64_64 or unixfs.fanout != profile.hamt_fanout:
        reason = f"fanout {unixfs.fanout}, hash {unixfs.hash_type}; expected {profile.hamt_fanout} and 34"
        faults.append((Code.HAMT, reason))
    if unixfs.filesize is not None or unixfs.blocksizes or _foreign_fields(unixfs, False):
        faults.append((Code.UNIXFS, "a HAMT node with fields other than bitfield, hash and fanout"))
    if -1 in slots:
        faults.append(
            (
                Code.HAMT,
                f"the link {node.links[slots.index(-1)].name!r} doesn't start with an upper-case slot",
            )
        )
    elif any(a >= b for a, b in pairwise(slots)):
        faults.append((Code.HAMT, "two links in one slot"))
    elif (unixfs.data or b"") != hamt.bitfield(slots):
        faults.append((Code.HAMT, "the bitfield doesn't match the slots of the links"))
    return faults


def _foreign_fields(unixfs: UnixFs, hamt_too: bool) -> bool:
    """Whether it has mode or mtime, or, with `hamt_too`, the HAMT fields hash or fanout."""
    return bool(unixfs.attributes) or (
        hamt_too and (unixfs.hash_type is not None or unixfs.fanout is not None)
    )


def _unsorted(node: Node) -> Faults:
    if isinstance(node.links, LinkRun) and node.links.columns.ascending:
        return []
    last: bytes | None = None
    for link in node.links:
        name = link.name or b""
        if last is not None and name <= last:
            return [(Code.LINK_ORDER, f"the link {name[:300]!r} after {last[:300]!r}")]
        last = name
    return []
