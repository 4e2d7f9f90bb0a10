"""Walks a UnixFS DAG while a CAR's blocks are read, in depth-first pre-order with duplicates kept.

Specification: https://specs.ipfs.tech/http-gateways/trustless-gateway/ (`order=dfs; dups=y`),
https://specs.ipfs.tech/unixfs/, profile `unixfs-v1-2025` of IPIP-499. Memory: the nodes of one path.
"""

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag import varint
from ptolemy_core.dag.profile import Profile
from ptolemy_core.kernel.blocks import matching_leaves
from ptolemy_core.reader import hamt
from ptolemy_core.reader.dagpb import DagPbError, Node, Type, UnixFs, decode_node, decode_unixfs
from ptolemy_core.reader.entry import CarEntry, EntryReceiver, FileRun, Kind
from ptolemy_core.reader.findings import Code, Findings
from ptolemy_core.reader.frame import ROOT, Frame
from ptolemy_core.reader.hashes import cid_text, is_profile_cid, parse_cid
from ptolemy_core.reader.links import Link, LinkRun
from ptolemy_core.reader.sections import Batch, Section, SectionRun
from ptolemy_core.reader.shape import check_directory, check_file, check_hamt, check_symlink, file_height

MAX_PATH_BYTES = 256 << 20
"""Total bytes of the nodes on one path, at most: 1,000 levels of the largest folders."""
MAX_LEVELS = 10_000
"""Nodes on one path, at most: each entry's full path is reported, which takes quadratic time in deep trees."""
MAX_NAMED_MISSING = 10
"""Missing blocks that are reported one by one."""
MAX_PASSED = 1000
"""Blocks skipped before the walk stops: a CAR so far out of order wasn't made by Ptolemy."""

_EMPTY_DIRECTORY = 4


class PreOrderWalk:
    """Checks the blocks passed to `block`, in the CAR's order; call `finish` at the end.

    Args:
        root: binary CID of the DAG's root.
        profile: the shape that files and folders must have.
        findings: receives everything that is wrong.
        receiver: told of each entry when its root block is read, a folder before its entries. The root itself is an
            entry, with an empty path, only if it isn't a folder.
        in_parts: other CARs may hold some of the blocks, as those of a data set's root do: any number may be
            missing, and the rest must be in order.
    """

    def __init__(
        self,
        root: bytes,
        profile: Profile,
        findings: Findings,
        receiver: EntryReceiver,
        *,
        in_parts: bool = False,
    ) -> None:
        self._profile = profile
        self._findings = findings
        self._receiver = receiver
        self._in_parts = in_parts
        self._stack = [Frame(ROOT, (Link(root, b"", None),), 0, 0)]
        self._path = bytearray()
        self._path_bytes = 0
        self._largest_node = max(profile.hamt_threshold, 64 * profile.width, 1024 * profile.hamt_fanout)
        # For CARs that are out of order: skipped blocks, whether a subtree's links are unknown, and where each
        # pending link is (computed when a block isn't the expected one, valid until the walk resumes).
        self._passed: dict[bytes, int] = {}
        self._passes = 0
        self._lost = False
        self._pending: dict[bytes, tuple[int, int]] | None = None
        self._stopped = False

    def block(self, section: Section, data: bytes) -> None:
        """Check the CAR's next block; `data` is its bytes, and may be empty for a raw block."""
        if self._stopped:
            return
        stack = self._stack
        if not stack or stack[-1].links[stack[-1].next].cid != section.cid:
            if not self._resume(section):
                return
        elif self._lost or self._pending is not None:
            self._lost, self._pending = False, None
        frame = stack[-1]
        link = frame.links[frame.next]
        frame.next += 1
        if section.cid[1] == profile_cid.RAW:
            self._leaf(frame, link, section)
        else:
            self._node(frame, link, section, data)
        self._close_complete()

    def leaves(self, batch: Batch, at: int) -> int:
        """Check the CAR's next blocks together where they are files of a single block each, as the folder names them.

        Args:
            batch: blocks of the CAR.
            at: the index of its next section.

        Returns:
            how many were checked; the block after them is one for `block`.
        """
        frame = self._stack[-1] if self._stack else None
        if self._stopped or frame is None or frame.type != Type.DIRECTORY:
            return 0
        sections, links, first = batch.sections, frame.links, frame.next
        if not isinstance(sections, SectionRun) or not isinstance(links, LinkRun):
            return 0
        count = matching_leaves(batch.buffer, sections.columns, at, links.columns, first, self._profile.chunk)
        if count:
            self._lost, self._pending = False, None
            frame.next += count
            frame.total += sections.size(at, count)
            files = FileRun(bytes(self._path), links.names(first, count), *sections.files(at, count))
            self._receiver.files(files)
            self._close_complete()
        return count

    def _close_complete(self) -> None:
        """Close the nodes all of whose links were followed."""
        stack = self._stack
        while stack and stack[-1].next == len(stack[-1].links):
            self._close(stack.pop())

    def finish(self) -> None:
        """Report the missing blocks, each at the byte offset of the node that links to it."""
        missing = list(self._passed.items())
        more = 0
        for frame in reversed(self._stack):
            rest = len(frame.links) - frame.next
            taken = max(0, min(rest, MAX_NAMED_MISSING - len(missing)))
            missing += [(link.cid, frame.offset) for link in frame.links[frame.next : frame.next + taken]]
            more += rest - taken
        for cid, offset in missing[:MAX_NAMED_MISSING]:
            reason = f"{cid_text(cid)} is linked to, but its block is missing"
            self._findings.add(Code.MISSING_BLOCK, offset, reason)
        more += max(0, len(missing) - MAX_NAMED_MISSING)
        if more:
            self._findings.add(Code.MISSING_BLOCK, 0, f"the blocks of {more} more links are missing")

    # Blocks out of order

    def _resume(self, section: Section) -> bool:
        """Find the position in the DAG of a block that isn't the expected one; False if there is none."""
        place = self._place(section.cid)
        if place is None:
            if self._passed.pop(section.cid, None) is not None:
                reason = f"{cid_text(section.cid)} is after its position in depth-first order"
                self._findings.add(Code.ORDER, section.offset, reason)
                # the blocks it links to have no position either
                self._lost = self._lost or section.cid[1] != profile_cid.RAW
            elif not self._lost:
                reason = f"{cid_text(section.cid)}: no link refers to a block at this position"
                self._findings.add(Code.EXTRA_BLOCK, section.offset, reason)
            return False
        depth, at = place
        while len(self._stack) > depth + 1:
            frame = self._stack.pop()
            self._pass(frame, len(frame.links))
            self._forget(frame)
        frame = self._stack[depth]
        self._pass(frame, at)
        frame.next = at
        for open_frame in self._stack:
            open_frame.damaged = True
        self._lost, self._pending = False, None
        return not self._stopped

    def _place(self, cid: bytes) -> tuple[int, int] | None:
        """The first link that is left to this block: its frame's index in the stack, and its own in the frame."""
        if self._pending is not None:
            return self._pending.get(cid)
        for depth in range(len(self._stack) - 1, -1, -1):
            frame = self._stack[depth]
            for at in range(frame.next, len(frame.links)):
                if frame.links[at].cid == cid:
                    return depth, at
        self._pending = {}  # so that the blocks after one that isn't linked to are found without a search
        for depth, frame in enumerate(self._stack):
            for at in range(len(frame.links) - 1, frame.next - 1, -1):
                self._pending[frame.links[at].cid] = (depth, at)
        return None

    def _pass(self, frame: Frame, until: int) -> None:
        for link in frame.links[frame.next : until]:
            if self._in_parts and len(self._passed) == MAX_PASSED:
                return
            self._passed[link.cid] = frame.offset
            self._passes += 1
            if self._passes == MAX_PASSED and not self._in_parts:
                reason = f"{MAX_PASSED} blocks are out of order; the DAG isn't checked from here"
                self._findings.add(Code.ORDER, frame.offset, reason)
                self._stopped = True
                return

    def _forget(self, frame: Frame) -> None:
        """Leave a frame: remove its name from the path and its size from the total."""
        if frame.name_size:
            del self._path[-frame.name_size :]
        self._path_bytes -= frame.size

    # Blocks in order

    def _leaf(self, frame: Frame, link: Link, section: Section) -> None:
        length = section.length
        if frame.type == Type.FILE:
            at = frame.next - 1
            if frame.height != 1:
                self._add(Code.LAYOUT, section, f"a leaf in a node of height {frame.height}")
                frame.height = 1  # report it once per node
            if at < len(frame.sizes) and frame.sizes[at] != length:
                self._add(
                    Code.FILESIZE, section, f"a leaf of {length} bytes; its blocksize is {frame.sizes[at]}"
                )
        else:
            if length > self._profile.chunk:
                self._add(
                    Code.LAYOUT,
                    section,
                    f"a leaf of {length} bytes; the profile's chunk is {self._profile.chunk}",
                )
            self._entry(frame, link, "file", length, section)
        self._account(frame, link, length)

    def _node(self, frame: Frame, link: Link, section: Section, data: bytes) -> None:
        read = self._decode(section, data)
        if read is None:
            frame.damaged = True
            self._lost = True
            return
        node, unixfs = read
        if unixfs.type == Type.SYMLINK and frame.type != Type.FILE:
            self._findings_of(section, check_symlink(node, unixfs))
            target = unixfs.data or b""
            self._entry(frame, link, "symlink", len(target), section, target)
            self._account(frame, link, section.length)
            if node.links:
                frame.damaged = self._lost = True
            return
        deep = len(self._stack) > MAX_LEVELS
        if deep or self._path_bytes + section.length > MAX_PATH_BYTES:
            what = (
                f"more than {MAX_LEVELS} nodes"
                if deep
                else f"nodes of more than {MAX_PATH_BYTES} bytes in total"
            )
            self._add(Code.TOO_DEEP, section, f"its path has {what}")
            self._stopped = True
            self._stack.clear()
            return
        child = Frame(unixfs.type, node.links, section.offset, section.length)
        if unixfs.type in (Type.FILE, Type.RAW):
            self._open_file(frame, link, section, child, node, unixfs)
        elif unixfs.type == Type.DIRECTORY:
            self._findings_of(section, check_directory(node, unixfs, section.length, self._profile))
            self._open_directory(frame, link, section, child)
        elif unixfs.type == Type.HAMT:
            self._open_hamt(frame, link, section, child, node, unixfs)
        else:
            self._add(Code.UNIXFS, section, f"a node of type {unixfs.type.name.lower()}")
            child.damaged = True
        self._path_bytes += section.length
        self._stack.append(child)

    def _decode(self, section: Section, data: bytes) -> tuple[Node, UnixFs] | None:
        if parse_cid(section.cid).codec != profile_cid.DAG_PB:
            return None  # the CID is already a finding
        if len(data) > self._largest_node:
            reason = f"a node of {len(data)} bytes; nodes of the profile have at most {self._largest_node}"
            self._add(Code.LAYOUT, section, reason)
            return None
        try:
            node = decode_node(data)
        except DagPbError as error:
            self._add(Code.DAG_PB, section, str(error))
            return None
        if node.data is None:
            self._add(Code.UNIXFS, section, "a dag-pb node without Data")
            return None
        try:
            unixfs = decode_unixfs(node.data)
        except DagPbError as error:
            self._add(Code.UNIXFS, section, str(error))
            return None
        for link in () if isinstance(node.links, LinkRun) else node.links:
            if not is_profile_cid(link.cid):
                self._add(
                    Code.CID, section, f"a link to {cid_text(link.cid)}, which isn't a CID of the profile"
                )
            if link.name is None or link.tsize is None:
                self._add(Code.DAG_PB, section, "a link without Name or Tsize")
                break
        return node, unixfs

    def _open_file(
        self, frame: Frame, link: Link, section: Section, child: Frame, node: Node, unixfs: UnixFs
    ) -> None:
        child.type = Type.FILE
        size = unixfs.filesize or 0
        child.height = file_height(size, self._profile)
        if frame.type == Type.FILE:
            at = frame.next - 1
            if frame.height < 2:
                self._add(Code.LAYOUT, section, "a node where the profile requires a leaf")
            else:
                child.height = frame.height - 1
            if at < len(frame.sizes) and frame.sizes[at] != size:
                self._add(
                    Code.FILESIZE,
                    section,
                    f"a node of {size} file bytes; its blocksize is {frame.sizes[at]}",
                )
        else:
            self._entry(frame, link, "file", size, section)
        self._findings_of(section, check_file(node, unixfs, child.height, self._profile))
        child.sizes = unixfs.blocksizes

    def _open_directory(self, frame: Frame, link: Link, section: Section, child: Frame) -> None:
        if frame.type == Type.FILE:
            self._add(Code.LAYOUT, section, "a folder inside a file")
            frame.damaged = True
        self._entry(frame, link, "directory", 0, section)
        if frame.type != ROOT:
            name = self._name(frame, link)
            self._path += name + b"/"
            child.name_size = len(name) + 1

    def _open_hamt(
        self, frame: Frame, link: Link, section: Section, child: Frame, node: Node, unixfs: UnixFs
    ) -> None:
        fanout = self._profile.hamt_fanout
        width = hamt.digits(fanout)
        if frame.type == Type.HAMT and len(link.name or b"") == width:
            slot = frame.slots[frame.next - 1]
            child.level = frame.level + 1
            child.bits = frame.bits << (fanout - 1).bit_length() | max(slot, 0)
            child.damaged = slot < 0
        else:
            self._open_directory(frame, link, section, child)
        child.slots = hamt.slots([(each.name or b"")[:width] for each in node.links], fanout)
        self._findings_of(section, check_hamt(node, unixfs, child.slots, self._profile))
        if (child.level + 1) * (fanout - 1).bit_length() > hamt.HASH_BITS:
            self._add(
                Code.HAMT,
                section,
                f"a HAMT node at level {child.level}, deeper than the bits of a name's hash",
            )
            child.damaged = True

    # Totals and entries

    def _entry(
        self,
        frame: Frame,
        link: Link,
        kind: Kind,
        size: int,
        section: Section,
        target: bytes | None = None,
    ) -> None:
        if frame.type == ROOT:
            if kind != "directory":
                self._receiver.entry(CarEntry(b"", kind, size, section.cid, section.offset, target))
            return
        if frame.type == Type.FILE:
            return
        name = self._name(frame, link)
        if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
            self._findings.add(Code.NAME, frame.offset, f"a link with the name {name[:300]!r}")
        if frame.type == Type.HAMT:
            self._hamt_entry(frame, link, name)
        self._receiver.entry(
            CarEntry(bytes(self._path) + name, kind, size, section.cid, section.offset, target)
        )

    def _hamt_entry(self, frame: Frame, link: Link, name: bytes) -> None:
        slot = frame.slots[frame.next - 1]
        if len(link.name or b"") == hamt.digits(self._profile.hamt_fanout):
            self._findings.add(
                Code.HAMT, frame.offset, f"slot {slot} has neither a HAMT node nor a named entry"
            )
        bits = (self._profile.hamt_fanout - 1).bit_length()
        depth = bits * (frame.level + 1)
        if slot >= 0 and not frame.damaged and depth <= hamt.HASH_BITS:
            stated = frame.bits << bits | slot
            hashed = hamt.murmur3(name) >> (hamt.HASH_BITS - depth)
            if stated != hashed:
                width = depth // 4
                reason = f"{name!r} is in slots {stated:0{width}X}; its hash requires {hashed:0{width}X}"
                self._findings.add(Code.HAMT, frame.offset, reason)
        size, tsize = len(name), link.tsize or 0
        inner = 3 + len(link.cid) + varint.length(size) + size + 1 + varint.length(tsize)
        frame.flat += 1 + varint.length(inner) + inner
        frame.entries += 1

    def _name(self, frame: Frame, link: Link) -> bytes:
        name = link.name or b""
        return name[hamt.digits(self._profile.hamt_fanout) :] if frame.type == Type.HAMT else name

    def _account(self, frame: Frame, link: Link, total: int) -> None:
        frame.total += total
        if frame.type != ROOT and link.tsize != total:
            reason = f"the link to {cid_text(link.cid)} has Tsize {link.tsize}; its subtree has {total} bytes"
            self._findings.add(Code.TSIZE, frame.offset, reason)

    def _close(self, child: Frame) -> None:
        self._forget(child)
        if not self._stack:
            return  # the frame of the root link itself
        frame = self._stack[-1]
        link = frame.links[frame.next - 1]
        if child.damaged:
            frame.damaged = True
            return
        self._account(frame, link, child.total)
        if child.type == Type.HAMT and child.level:
            frame.entries += child.entries
            frame.flat += child.flat
            if child.entries < 2:
                reason = (
                    f"a HAMT node with {child.entries} entries; a single entry belongs in the parent node"
                )
                self._findings.add(Code.HAMT, child.offset, reason)
        elif child.type == Type.HAMT:
            plain = _EMPTY_DIRECTORY + child.flat
            limit = self._profile.hamt_threshold
            if plain <= limit:
                reason = (
                    f"sharded, but its plain block would have {plain} bytes; up to {limit} it must be plain"
                )
                self._findings.add(Code.HAMT, child.offset, reason)

    def _add(self, code: Code, section: Section, message: str) -> None:
        self._findings.add(code, section.offset, f"{cid_text(section.cid)}: {message}")

    def _findings_of(self, section: Section, faults: list[tuple[Code, str]]) -> None:
        for code, message in faults:
            self._add(code, section, message)
