"""What can be wrong with a CAR, as values: `CarError` ends a reading, `Finding`s make a report.

The codes are stable names; they follow the CAR specifications, dag-pb, UnixFS and the profile of IPIP-499.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_MESSAGE = 2000
"""Characters of a finding's message; what a file states can be longer than a person reads."""


class Code(StrEnum):
    """The short name of a kind of finding; a member compares equal to its text."""

    HEADER = "header"
    """The CAR header isn't canonical DAG-CBOR of `{roots, version}`, or is larger than the limit."""
    VERSION = "version"
    """The CAR's version isn't the one that is wanted."""
    ROOTS = "roots"
    """The header doesn't name exactly one root."""
    TRUNCATED = "truncated"
    """The file ends inside a header or a section."""
    VARINT = "varint"
    """A section's length isn't a minimal varint of at most nine bytes."""
    ZERO_SECTION = "zero-section"
    """A section of length zero stands between others."""
    TRAILING_BYTES = "trailing-bytes"
    """Zeros follow the last section up to the end of the file."""
    SECTION_TOO_LARGE = "section-too-large"
    """A section's length is above the limit; it isn't read."""
    CID = "cid"
    """A CID is malformed, or isn't a CIDv1 of raw or dag-pb under sha2-256 where the profile has no other."""
    HASH_MISMATCH = "hash-mismatch"
    """A block's bytes don't have the hash that its CID states."""
    ORDER = "order"
    """A block of the DAG stands after its place in depth-first pre-order."""
    MISSING_BLOCK = "missing-block"
    """A link's block isn't where the link is met, nor after it."""
    EXTRA_BLOCK = "extra-block"
    """A block that no link leads to at this place."""
    DAG_PB = "dag-pb"
    """A dag-pb block isn't the canonical encoding of a node."""
    UNIXFS = "unixfs"
    """A node's UnixFS Data is malformed, or holds fields that the profile doesn't write."""
    LAYOUT = "layout"
    """A file or folder has another shape than the profile gives it."""
    FILESIZE = "filesize"
    """A file node's size or blocksizes differ from the bytes below it."""
    TSIZE = "tsize"
    """A link's Tsize differs from the bytes of the blocks below it."""
    LINK_ORDER = "link-order"
    """A folder's links aren't in strictly ascending byte order of their names."""
    NAME = "name"
    """A folder's link has a name that no file system has: empty, `.`, `..`, or with `/` or NUL."""
    HAMT = "hamt"
    """A sharded folder's slot, bitfield, fanout, hash or size isn't as the profile has it."""
    TOO_DEEP = "too-deep"
    """The nodes on the path to a block are more, or take more memory, than the limit; the walk stops."""
    PAYLOAD_MISMATCH = "payload-mismatch"
    """The root isn't the payload CID that is expected."""
    PIECE_MISMATCH = "piece-mismatch"
    """A piece CID or the piece size isn't the one that is expected."""
    SIZE_MISMATCH = "size-mismatch"
    """The CAR has another number of bytes than expected, or more than a piece can have."""
    SHA256_MISMATCH = "sha256-mismatch"
    """The CAR has another sha2-256 than expected."""
    ENTRY_MISSING = "entry-missing"
    """An entry of the expected listing isn't in the CAR."""
    ENTRY_EXTRA = "entry-extra"
    """An entry of the CAR isn't in the expected listing."""
    ENTRY_MISMATCH = "entry-mismatch"
    """An entry has another kind, size, CID or link target than the expected listing says."""


class CarError(ValueError):
    """A CAR that can't be read on.

    Attributes:
        code: the kind of failure.
        reason: what is wrong, for a person.
        name: the file's name as it was given.
        offset: where in the file, in bytes from its start.
    """

    def __init__(self, code: Code, reason: str, name: str, offset: int) -> None:
        super().__init__(f"{name}: {reason} (at byte {offset})")
        self.code = code
        self.reason = reason
        self.name = name
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a CAR: its kind, the byte offset it concerns, and a sentence."""

    code: Code
    offset: int
    message: str


class Findings:
    """Collects findings up to a limit; `full` tells the stages to stop looking for more."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the limit of findings must be 1 or more, got {limit}")
        self._limit = limit
        self._items: list[Finding] = []

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return len(self._items) >= self._limit

    def add(self, code: Code, offset: int, message: str) -> None:
        """Keep a finding, unless the limit is reached."""
        if not self.full:
            self._items.append(Finding(code, offset, message[:MAX_MESSAGE]))

    def add_error(self, error: CarError) -> None:
        """Keep the failure that ended the reading."""
        self.add(error.code, error.offset, error.reason)

    def items(self) -> tuple[Finding, ...]:
        """What was found, in the order it was found."""
        return tuple(self._items)
