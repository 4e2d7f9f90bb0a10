"""The CID of a file, link or folder under the profile, without a CAR or a project."""

from collections.abc import Callable

from ptolemy_core.car import nodes
from ptolemy_core.car.fill import fill
from ptolemy_core.car.options import THREADS, BuildOptions
from ptolemy_core.car.whole import scan_path
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout import compute_layout


def root_cid(
    path: bytes,
    profile: Profile = UNIXFS_V1_2025,
    *,
    threads: int = THREADS,
    started: Callable[[int], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> bytes:
    """The binary CID of the entry at `path`; of a folder with everything below it.

    Args:
        path: a file, link (not followed) or folder.
        profile: of the DAG.
        threads: threads that read and hash.
        started: called once, with the total of all `progress` calls.
        progress: called with the bytes done since the last call.

    Raises:
        SourceError: an entry can't be read, isn't a file, link or folder, or changes meanwhile.
    """
    items, inputs = scan_path(path)
    layout = compute_layout(items, profile, real_names=True)  # as other tools name them
    if started:
        started(layout.car_size)
    digests = fill(layout, inputs, lambda number, data: None, BuildOptions(threads), progress=progress)
    return nodes.block_cid(layout, 0, digests[0].tobytes())
