"""Compares what a CAR holds with the files it was made of, as they are now: verification's `--source`.

The source is read again and each of its ranges hashed against the leaf that the CAR has for it; the CAR's
leaves themselves are verified before.
"""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.kernel.files import open_beneath
from ptolemy_core.project import Project
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.compare import compare
from ptolemy_core.restore.dag import leaves, read_node
from ptolemy_core.source import Stamp, beneath
from ptolemy_core.tree import Kind, paths

MAX_DIFFERENCES = 100
"""Differences of one CAR that are named."""

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def source_differences(
    catalog: Catalog, project: Project, row: CarRow, progress: Callable[[int], None]
) -> list[str]:
    """Where the files in target_dir aren't what a CAR holds of them, as sentences.

    Args:
        catalog: that holds the project.
        project: whose target_dir and staging_dir are compared.
        row: of the CAR.
        progress: called with bytes compared since the last call.
    """
    problems: list[str] = []
    try:
        blocks = Blocks([os.path.join(project.staging_dir, row.file_name)], index=False)
    except (CarError, OSError) as error:
        return [f"can't be compared with the source: {error}"]
    try:
        with (
            beneath.opened(project.target_bytes) as root,
            ThreadPoolExecutor(2, thread_name_prefix="compare") as pool,
        ):
            for one in _rows(catalog, row.container_id):
                problem = _difference(blocks, root, one, pool, progress)
                if problem:
                    problems.append(f"{paths.display(bytes(one.path))}{problem}")
                    if len(problems) == MAX_DIFFERENCES:
                        problems.append("and perhaps more: comparing it ended here")
                        break
    except OSError as error:
        return [*problems, f"can't be compared with the source: target_dir can't be read ({error.strerror})"]
    finally:
        blocks.close()
    return problems


def _difference(
    blocks: Blocks,
    root: int,
    row: sa.Row[Any],
    pool: ThreadPoolExecutor,
    progress: Callable[[int], None],
) -> str | None:
    path, spot = bytes(row.path), Spot(0, row.car_offset)
    try:
        if row.kind == Kind.SYMLINK:
            same = beneath.readlink(root, path) == read_node(blocks, bytes(row.cid), spot).unixfs.data
            return None if same else " leads elsewhere in the source"
        if row.kind == Kind.DIRECTORY:
            is_folder = stat.S_ISDIR(beneath.lstat(root, path).st_mode)
            return None if is_folder else " is no folder in the source any more"
        descriptor = open_beneath(root, path, _FILE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return " is no regular file in the source any more"
            stamp, found = Stamp(row.size, row.mtime), Stamp(status.st_size, status.st_mtime_ns)
            changed = "; it was modified after the scan" if found.token != stamp.token else ""
            if found.size != stamp.size:
                return f" has {found.size} bytes in the source, {stamp.size} when it was scanned{changed}"
            wanted = leaves(blocks, bytes(row.cid), row.length, spot, row.start)
            for leaf, right in compare(descriptor, wanted, pool, progress=progress):
                if not right:
                    last = leaf.start + leaf.length - 1
                    return f" differs from the source in bytes {leaf.start} to {last}{changed}"
        finally:
            os.close(descriptor)
    except OSError as error:
        if beneath.is_behind_link(root, path):
            return " can't be compared with the source: a folder on the way to it is a link now"
        return f" can't be read in the source ({error.strerror})"
    except BlockError as error:
        return f" can't be compared with the source: {error}"
    return None


def _rows(catalog: Catalog, container_id: int) -> list[sa.Row[Any]]:
    query = (
        sa.select(
            file.c.path,
            file.c.kind,
            file.c.size,
            file.c.mtime,
            shard.c.start,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
        )
        .join(shard, shard.c.file_id == file.c.id)
        .join(
            built_shard,
            sa.and_(
                built_shard.c.container_id == shard.c.container_id,
                built_shard.c.position == shard.c.position,
            ),
        )
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
    )
    with catalog.read() as connection:
        return list(connection.execute(query).all())
