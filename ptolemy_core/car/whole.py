"""Everything in a source as the content of one container, without a project or a catalog."""

import numpy as np

from ptolemy_core.errors import SourceError
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.source import Entry, Inputs, Source, Stamps, open_source
from ptolemy_core.source.packed_entries import PackedEntries
from ptolemy_core.source.protocol import ListsPacked
from ptolemy_core.tree import LEFT_OUT, Kind
from ptolemy_core.tree.packed import PackedPaths


def scan_path(path: bytes) -> tuple[Items, Inputs]:
    """The items of a local file, link (not followed) or folder with everything below it, and their inputs.

    Raises:
        SourceError: an entry can't be read, or isn't a file, link or folder.
    """
    return whole(open_source(path))


def whole(source: Source) -> tuple[Items, Inputs]:
    """The items of a source (a file, link or folder) with everything below it, and their inputs.

    Raises:
        SourceError: an entry can't be read, or isn't a file, link or folder.
    """
    top = source.top()
    folder = top.kind == Kind.DIRECTORY
    packed = source.packed() if folder and isinstance(source, ListsPacked) else None
    if packed is None:
        packed = _packed(
            source, [entry for batch in source.entries() for entry in batch] if folder else [top]
        )
    count = len(packed.paths)
    items = Items(
        packed.paths,
        packed.kinds,
        packed.stamps.sizes,
        np.zeros(count, dtype=np.int64),
        np.full(count, WHOLE, dtype=np.int32),
    )
    return items, Inputs(source, items, packed.stamps, packed.targets)


def _packed(source: Source, entries: list[Entry]) -> PackedEntries:
    names, kinds, sizes, tokens, targets, _ = zip(*entries, strict=True) if entries else ((),) * 6
    columns = (
        np.array(kinds, dtype=np.int8),
        np.array(sizes, dtype=np.int64),
        np.array(tokens, dtype=np.int64),
    )
    for k in np.flatnonzero(columns[0] == LEFT_OUT).tolist():
        raise SourceError(f"{source.name(names[k])}: {entries[k].reason}; it has no CID")
    links = np.flatnonzero(columns[0] == Kind.SYMLINK).tolist()
    known = {k: target for k in links if (target := targets[k]) is not None}
    return PackedEntries(PackedPaths(names), columns[0], Stamps(*columns[1:]), known)
