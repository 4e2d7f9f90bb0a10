"""What stands at a path as the one content of a container, without a project and a catalog."""

import numpy as np

from ptolemy_core.errors import SourceError
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.source.posix import Source
from ptolemy_core.source.walk import look, walk_batches
from ptolemy_core.tree import LEFT_OUT, Kind, paths


def whole(path: bytes) -> tuple[Items, Source]:
    """The items of a file, link (not followed) or folder with all that is below it, and their source.

    Raises:
        SourceError: something can't be read, or is neither file, link nor folder.
    """
    top = look(path)
    folder = top.kind == Kind.DIRECTORY
    entries = [entry for batch in walk_batches(path) for entry in batch] if folder else [top]
    names, kinds, sizes, mtimes, targets, _ = zip(*entries, strict=True) if entries else ((),) * 6
    items = Items(
        list(names),
        np.array(kinds, dtype=np.int8),
        np.array(sizes, dtype=np.int64),
        np.zeros(len(entries), dtype=np.int64),
        np.full(len(entries), WHOLE, dtype=np.int32),
    )
    for k in np.flatnonzero(items.kinds == LEFT_OUT).tolist():
        raise SourceError(
            f"{paths.display(path)}/{paths.display(names[k])}: {entries[k].reason}; it has no CID"
        )
    links = np.flatnonzero(items.kinds == Kind.SYMLINK).tolist()
    known = {k: target for k in links if (target := targets[k]) is not None}
    return items, Source(path, items, items.sizes, np.array(mtimes, dtype=np.int64), known)
