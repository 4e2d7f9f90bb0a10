"""Faults of a CAR, as values: a `CarError` ends the reading, `Finding`s are collected in a report.

The codes are stable; they follow the CAR specifications, dag-pb, UnixFS and the profile of IPIP-499.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MAX_MESSAGE = 2000
"""Characters of a finding's message, at most: values from a file can be very long."""


class Code(StrEnum):
    """The code of a finding; a member compares equal to its text."""

    HEADER = "header"
    """The CAR header isn't canonical DAG-CBOR of `{roots, version}`, or exceeds the limit."""
    VERSION = "version"
    """The CAR's version isn't the expected one."""
    ROOTS = "roots"
    """The header doesn't have exactly one root."""
    TRUNCATED = "truncated"
    """The file ends inside a header or a section."""
    VARINT = "varint"
    """A section's length isn't a minimal varint of at most nine bytes."""
    ZERO_SECTION = "zero-section"
    """A section of length zero is between others."""
    TRAILING_BYTES = "trailing-bytes"
    """Zeros follow the last section up to the end of the file."""
    SECTION_TOO_LARGE = "section-too-large"
    """A section's length exceeds the limit; it isn't read."""
    CID = "cid"
    """A CID is malformed, or isn't a CIDv1 of raw or dag-pb under sha2-256 where the profile has no other."""
    HASH_MISMATCH = "hash-mismatch"
    """A block's bytes don't match the hash in its CID."""
    ORDER = "order"
    """A block is after its position in depth-first pre-order."""
    MISSING_BLOCK = "missing-block"
    """A link's block is neither at its position nor later."""
    EXTRA_BLOCK = "extra-block"
    """No link refers to a block at this position."""
    DAG_PB = "dag-pb"
    """A dag-pb block isn't the canonical encoding of a node."""
    UNIXFS = "unixfs"
    """A node's UnixFS Data is malformed, or has fields that the profile doesn't use."""
    LAYOUT = "layout"
    """The DAG of a file or folder doesn't have the profile's shape."""
    FILESIZE = "filesize"
    """A file node's filesize or blocksizes differ from the bytes in its subtree."""
    TSIZE = "tsize"
    """A link's Tsize differs from the bytes of its subtree's blocks."""
    LINK_ORDER = "link-order"
    """A folder's links aren't in strictly ascending byte order of their names."""
    NAME = "name"
    """A folder's link has a name that file systems don't allow: empty, `.`, `..`, or containing `/` or NUL."""
    HAMT = "hamt"
    """A sharded folder's slot, bitfield, fanout, hash or size doesn't follow the profile."""
    TOO_DEEP = "too-deep"
    """The nodes on the path to a block exceed the limit of their number or memory; the walk stops."""
    PAYLOAD_MISMATCH = "payload-mismatch"
    """The root isn't the expected payload CID."""
    PIECE_MISMATCH = "piece-mismatch"
    """A piece CID or the piece size isn't the expected one."""
    SIZE_MISMATCH = "size-mismatch"
    """The CAR's size isn't the expected one, or exceeds the largest piece."""
    SHA256_MISMATCH = "sha256-mismatch"
    """The CAR's sha2-256 isn't the expected one."""
    ENTRY_MISSING = "entry-missing"
    """An entry of the expected listing isn't in the CAR."""
    ENTRY_EXTRA = "entry-extra"
    """An entry of the CAR isn't in the expected listing."""
    ENTRY_MISMATCH = "entry-mismatch"
    """An entry's kind, size, CID or link target differs from the expected listing."""


class CarError(ValueError):
    """A CAR can't be read further.

    Attributes:
        code: the kind of fault.
        reason: what is wrong, for people.
        name: the file's name as given by the caller.
        offset: byte offset in the file.
    """

    def __init__(self, code: Code, reason: str, name: str, offset: int) -> None:
        super().__init__(f"{name}: {reason} (at byte {offset})")
        self.code = code
        self.reason = reason
        self.name = name
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a CAR: its code, byte offset and description."""

    code: Code
    offset: int
    message: str


class Findings:
    """Collects findings up to a limit; once `full`, checks can stop."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the limit of findings must be at least 1, got {limit}")
        self._limit = limit
        self._items: list[Finding] = []

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return len(self._items) >= self._limit

    def add(self, code: Code, offset: int, message: str) -> None:
        """Add a finding, unless the limit is reached."""
        if not self.full:
            self._items.append(Finding(code, offset, message[:MAX_MESSAGE]))

    def extend(self, found: Iterable[Finding]) -> None:
        """Add findings, as far as the limit allows."""
        for each in found:
            self.add(each.code, each.offset, each.message)

    def add_error(self, error: CarError) -> None:
        """Add the error that ended the reading."""
        self.add(error.code, error.offset, error.reason)

    def items(self) -> tuple[Finding, ...]:
        """The findings, in the order they were found."""
        return tuple(self._items)
