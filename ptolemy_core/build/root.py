"""The CID of any file, link or folder under the profile, without a CAR and without a project."""

from collections.abc import Callable

import numpy as np

from ptolemy_core.build import nodes
from ptolemy_core.build.fill import fill
from ptolemy_core.build.source import Source
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import ItemsBuilder, Kind, compute_layout
from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.walk import LEFT_OUT, look, walk


def root_cid(
    path: bytes,
    profile: Profile = UNIXFS_V1_2025,
    *,
    threads: int = 2,
    started: Callable[[int], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> bytes:
    """The binary CID of what stands at `path`; a folder with all that is below it.

    Args:
        path: file, link (not followed) or folder.
        profile: of the DAG.
        threads: that read and hash at once.
        started: called once with the bytes that progress will add up to.
        progress: called with the bytes done since the last call.

    Raises:
        SourceError: something can't be read, is neither file, link nor folder, or changes meanwhile.
    """
    top = look(path)
    entries = list(walk(path)) if top.kind == Kind.DIRECTORY else [top]
    builder = ItemsBuilder()
    targets = {}
    for number, entry in enumerate(entries):
        if entry.kind == LEFT_OUT:
            name = path + b"/" + entry.path.replace(b"\0", b"/")
            raise SourceError(f"{name.decode('utf-8', 'backslashreplace')}: {entry.reason}; it has no CID")
        builder.add(entry.path, Kind(entry.kind), entry.size)
        if entry.target is not None:
            targets[number] = entry.target
    items = builder.build()
    layout = compute_layout(items, profile, real_names=True)  # as any other tool names them
    source = Source(
        path,
        items,
        items.sizes,
        np.array([entry.mtime for entry in entries], dtype=np.int64),
        targets,
    )
    if started:
        started(layout.car_size)
    digests = fill(layout, source, lambda number, data: None, threads=threads, progress=progress)
    return nodes.block_cid(layout, 0, digests[0].tobytes())
