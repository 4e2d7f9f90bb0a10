"""The file of an outline, and writing it: header, digests, pages, index. Numbers are little-endian.

    header   HEADER_SIZE bytes, the last 32 of them the SHA-256 of the others
    digests  sha2-256 of every block, 32 bytes each, in the CAR's order: those of leaves after all others
    pages    what the blocks are: `outline_page`
    index    where each page is and what it holds (`PAGE`), then a checksum of each CHUNK digests

The header has the index's SHA-256, and the index a checksum of everything else. So opening an outline reads the
header and the index alone; what is read later is checked then.
"""

import hashlib
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car import nodes
from ptolemy_core.car.outline_page import Children, Rows, digest_places
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import OutlineError
from ptolemy_core.layout import Block, Layout
from ptolemy_core.source import Inputs

MAGIC = b"\x89PTOLOUT"
VERSION = 1
HEADER_SIZE = 256
CHUNK = 512
"""Digests that have a checksum together, 16 KiB."""
PAGE = np.dtype(
    [
        ("offset", "<i8"),
        ("block", "<i8"),
        ("leaf", "<i8"),
        ("at", "<i8"),
        ("length", "<i8"),
        ("checksum", "V16"),
    ]
)
"""Of a page: CAR offset and number of its first block, and how many leaves come before that; its place and bytes in
the file, and their checksum."""

_FIELDS = struct.Struct("<8sII10q36s32s")
_STRONG = 1
"""Flag: the stamps' tokens are versions of the source."""
_ROWS, _BLOCKS, _BYTES = 512, 1024, 256 << 10
"""Limits of a page: rows, blocks, bytes of paths and links. A row may be larger by itself."""


@dataclass(frozen=True, slots=True)
class Header:
    """An outline's first bytes.

    Attributes:
        payload_cid: binary CID of the CAR's root.
        car_size: bytes of the CAR.
        blocks, leaves: in the CAR.
        rows, pages: of the outline.
        profile: of the DAG.
        strong: see `Stamp`.
        index_at: offset of the index, bytes. The file ends with the index.
        size: bytes of the file.
        index_digest: SHA-256 of the index.
    """

    payload_cid: bytes
    car_size: int
    blocks: int
    leaves: int
    rows: int
    pages: int
    profile: Profile
    strong: bool
    index_at: int
    size: int
    index_digest: bytes

    def encode(self) -> bytes:
        """The header's bytes."""
        profile = self.profile
        numbers = (self.car_size, self.blocks, self.leaves, self.rows, self.pages, self.index_at, self.size)
        limits = (profile.chunk, profile.width, profile.hamt_threshold)
        flags = _STRONG * self.strong
        fields = _FIELDS.pack(
            MAGIC, VERSION, flags, *numbers, *limits, self.payload_cid, self.index_digest
        ).ljust(HEADER_SIZE - 32, b"\0")
        return fields + hashlib.sha256(fields).digest()

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Header":
        """The header at the begin of a file.

        Raises:
            OutlineError: it isn't an outline's, is damaged, or of another version.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise OutlineError(f"{name} isn't an outline, or its start is damaged: {_REMEDY}")
        if len(data) < HEADER_SIZE:
            raise OutlineError(f"{name} is cut off within its header: {_REMEDY}")
        if hashlib.sha256(data[: HEADER_SIZE - 32]).digest() != data[HEADER_SIZE - 32 : HEADER_SIZE]:
            raise damaged(name, "its header")
        fields = _FIELDS.unpack_from(data)
        version, flags, numbers, limits = fields[1], fields[2], fields[3:10], fields[10:13]
        if version != VERSION:
            raise OutlineError(
                f"{name} is an outline of version {version}, this Ptolemy reads version {VERSION}: "
                "use the Ptolemy that wrote it, or rebuild the outline from the source"
            )
        car_size, blocks, leaves, rows, pages, index_at, size = numbers
        return cls(
            fields[13],
            car_size,
            blocks,
            leaves,
            rows,
            pages,
            Profile(*limits),
            bool(flags & _STRONG),
            index_at,
            size,
            fields[14],
        )

    @property
    def chunks(self) -> int:
        """How many checksums the digests have."""
        return -(-self.blocks // CHUNK)


_REMEDY = "rebuild it from the source with `ptolemy rebuild`"


def damaged(name: str, what: str) -> OutlineError:
    """A part of an outline isn't what was written."""
    return OutlineError(f"the outline {name} is damaged, {what} has another checksum: {_REMEDY}")


def checksum(data: bytes | memoryview) -> bytes:
    """16 bytes that tell damage: the begin of the SHA-256."""
    return hashlib.sha256(data).digest()[:16]


def write_outline(
    path: str,
    layout: Layout,
    inputs: Inputs,
    digests: NDArray[np.uint8],
    profile: Profile = UNIXFS_V1_2025,
) -> None:
    """Write the outline of a CAR; it appears under its name whole and synced, or not at all.

    Args:
        path: of the file; one that is there is replaced.
        layout: of the CAR.
        inputs: of its items.
        digests: of all blocks, as `fill` gives them.
        profile: that the layout was made with.

    Raises:
        OSError: it can't be written.
    """
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            write_outline_to(file, layout, inputs, digests, profile)
        replace_for_good(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def replace_for_good(part: str, path: str) -> None:
    """Give a synced file its name in its folder, also after a loss of power.

    Raises:
        OSError: that can't be done.
    """
    os.replace(part, path)
    folder = os.path.dirname(path) or "."
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def most_bytes(layout: Layout, inputs: Inputs) -> int:
    """At most so many bytes has the outline of a CAR; most have half of it, since pages are compressed."""
    rows = len(layout.names) + 1
    names = sum(map(len, inputs.items.paths)) + int(layout.names.lengths().sum())
    return 2 * HEADER_SIZE + 33 * len(layout) + (128 + PAGE.itemsize) * rows + names


def write_outline_to(
    file: BinaryIO, layout: Layout, inputs: Inputs, digests: NDArray[np.uint8], profile: Profile
) -> None:
    """Write the outline of a CAR into an open, empty file, and sync it; see `write_outline`.

    Raises:
        OSError: it can't be written.
    """
    file.write(bytes(HEADER_SIZE))
    checksums = []
    leaf = layout.kind == Block.LEAF
    ordered = np.concatenate([np.flatnonzero(~leaf).astype(np.int32), np.flatnonzero(leaf).astype(np.int32)])
    for low in range(0, len(ordered), CHUNK):
        chunk = digests[ordered[low : low + CHUNK]].tobytes()
        checksums.append(checksum(chunk))
        file.write(chunk)
    del ordered
    rows = layout.named
    pages: list[tuple[int, int, int, int, int, bytes]] = []
    leaves = 0
    for low, data in _pages(layout, inputs, rows):
        of_page = rows[low : low + len(data)]
        page = _rows(layout, inputs, of_page, data).encode()
        first = int(of_page[0])
        pages.append((int(layout.offset[first]), first, leaves, file.tell(), len(page), checksum(page)))
        end = int(rows[low + len(data)]) if low + len(data) < len(rows) else len(layout)
        leaves += int(np.count_nonzero(leaf[first:end]))
        file.write(page)
    index = np.array(pages, dtype=PAGE)
    index_at = file.tell()
    whole_index = index.tobytes() + b"".join(checksums)
    file.write(whole_index)
    header = Header(
        payload_cid=nodes.block_cid(layout, 0, digests[0].tobytes()),
        car_size=layout.car_size,
        blocks=len(layout),
        leaves=int(np.count_nonzero(leaf)),
        rows=len(rows),
        pages=len(index),
        profile=profile,
        strong=inputs.stamps.strong,
        index_at=index_at,
        size=index_at + len(whole_index),
        index_digest=hashlib.sha256(whole_index).digest(),
    )
    file.seek(0)
    file.write(header.encode())
    file.flush()
    os.fsync(file.fileno())


def _pages(layout: Layout, inputs: Inputs, rows: NDArray[np.int64]) -> Iterator[tuple[int, list[bytes]]]:
    """The rows in pages: the number of a page's first row, and `Rows.data` of its rows."""
    page: list[bytes] = []
    first = blocks = size = 0
    for count, data in _rows_data(layout, inputs, rows):
        if page and (len(page) >= _ROWS or blocks + count > _BLOCKS or size + len(data) > _BYTES):
            yield first, page
            first, page = first + len(page), []
            blocks = size = 0
        page.append(data)
        blocks += count
        size += len(data)
    yield first, page


def _rows_data(layout: Layout, inputs: Inputs, rows: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Of each row, how many blocks it has, and `Rows.data`: a path, a target, or links."""
    places = digest_places(layout.kind)
    for low in range(0, len(rows), _ROWS):
        some = rows[low : low + _ROWS]
        end = int(rows[low + _ROWS]) if low + _ROWS < len(rows) else len(layout)
        counts = np.diff(some, append=end).tolist()
        kinds, items = layout.kind[some].tolist(), layout.item[some].tolist()
        for node, count, kind, item in zip(some.tolist(), counts, kinds, items, strict=True):
            if kind in (Block.LEAF, Block.FILE):
                yield count, inputs.kept_path(item)
            elif kind == Block.SYMLINK:
                yield count, inputs.targets[item]
            else:
                links = layout.children(node)
                children = Children(
                    places[links], layout.kind[links], layout.tsize[links], layout.link_names(links)
                )
                yield count, children.encode(int(places[node]))


def _rows(layout: Layout, inputs: Inputs, rows: NDArray[np.int64], data: list[bytes]) -> Rows:
    kind, item = layout.kind[rows], layout.item[rows].astype(np.int64)
    file = (kind == Block.LEAF) | (kind == Block.FILE)
    of_file = np.where(file, item, 0)
    items, stamps = inputs.items, inputs.stamps

    def where_file(column: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(file, column[of_file], 0).astype(np.int64) if len(column) else of_file * 0

    return Rows(
        kind=kind,
        size=np.where(file, layout.length[rows], layout.size[rows].astype(np.int64)),
        start=where_file(items.starts),
        whole=where_file(stamps.sizes),
        token=where_file(stamps.tokens),
        item=item,
        data=data,
    )
