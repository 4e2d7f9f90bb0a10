"""The data set's own root: a project's whole tree as one DAG, above all of its CARs.

Its CAR holds what no other does: the folders, and the nodes of split files above their shards. The entries come
from the catalog in path order, so no source is read, and memory holds the links of open folders only.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ptolemy_core import commp
from ptolemy_core.car import nodes
from ptolemy_core.car.folders import FolderTree, Target
from ptolemy_core.car.spool import IN_OTHER_CAR, Spool
from ptolemy_core.catalog import containers, entries, projects, roots, scans
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.stitched import root_of_split
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.errors import BusyError, PlanError, ReceiptError, StageOrderError, StagingError
from ptolemy_core.interrupts import held
from ptolemy_core.layout import HEADER_SIZE, item_extents
from ptolemy_core.project import Project
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.staging.area import area_of, root_part_name
from ptolemy_core.tree import Kind

_WAIT = 24 * 3600.0
_PAGE = 10_000
_WRITE = 4 << 20


def build_root(
    catalog: Catalog,
    name: str,
    *,
    rebuild: bool = False,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> tuple[RootRow, bool]:
    """Put the whole tree of a project's last scan together, unless that is done.

    Args:
        catalog: that holds the project.
        name: the project's.
        rebuild: also where it is done, but its CAR isn't in the staging folder any more.
        profile: of the DAG.
        progress: called with entries done since the last call.

    Returns:
        the root, and whether this call built its CAR.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: the project isn't scanned, or something of it is not planned or not built.
        BusyError: a scan began meanwhile.
        PlanError: two names can't stand in one HAMT, or the CAR fits no piece.
        StagingError: the staging folder can't take the CAR.
        ReceiptError: a rebuilt CAR is another than before.
    """
    project = projects.get(catalog, name)
    with catalog.lock(f"root {name}", wait=_WAIT):
        scan = _finished_scan(catalog, name)
        last = next(roots.rows(catalog, name), None)
        done = last is not None and last.scan == scan
        if last is not None and done and (not rebuild or area_of(project).has(last.file_name, last.car_size)):
            return last, False
        with held() as hold:
            with Reporter(catalog, name, Task(Work.ROOT), None) as reporter:

                def report(count: int) -> None:
                    hold.check()
                    reporter.advance(count)
                    if progress:
                        progress(count)

                same = None if done else last
                row, built = _build(catalog, project, scan, same, profile, report)
            if not done:
                roots.write(catalog, row)
        if done and last is not None and row.root_cid != last.root_cid:
            raise ReceiptError(
                f"the root of {name!r} at scan {scan} was {cid.to_text(last.root_cid)} and is now "
                f"{cid.to_text(row.root_cid)}: scan, containerize and blitz, then try again"
            )
    return row, built


def _finished_scan(catalog: Catalog, name: str) -> int:
    """The project's last scan; all that it found is planned and built."""
    newest = scans.last(catalog, name, merged=True)
    if newest is not None and not newest.finished:
        raise StageOrderError.needs(name, "is being scanned, or its last scan was cut off", Stage.SCAN)
    require(catalog, name, Stage.ROOT)
    assert newest is not None
    unplanned = containers.any_unplanned(catalog, name)
    missing = sum(not row.built for row in containers.rows(catalog, name))
    if unplanned or missing:
        what = "files in no container" if unplanned else f"{missing} CARs to build"
        raise StageOrderError(f"project {name!r} still has {what}: run `ptolemy run {name}` first")
    return newest.number


def _build(
    catalog: Catalog,
    project: Project,
    scan: int,
    last: RootRow | None,
    profile: Profile,
    progress: Callable[[int], None],
) -> tuple[RootRow, bool]:
    """The root at this scan, and whether a CAR was written: not where `last` has the same tree."""
    started = time.monotonic()
    count = data_bytes = left_out = 0
    try:
        with Spool(project.staging_dir) as spool:
            tree = FolderTree(spool, profile)
            for path, size, target in _entries(catalog, project.name, spool, profile):
                if target is None:
                    left_out += 1
                else:
                    tree.add(path, target)
                    count += 1
                    data_bytes += size
                if not (count + left_out) % _PAGE:
                    progress(_PAGE)
            progress((count + left_out) % _PAGE)
            root = tree.finish()
            if _finished_scan(catalog, project.name) != scan:
                raise BusyError(f"project {project.name!r} was scanned meanwhile: try again")
            counts: dict[str, Any] = {
                "scan": scan,
                "entries": count,
                "data_bytes": data_bytes,
                "left_out": left_out,
            }
            if last is not None and last.root_cid == root.cid:
                return replace(last, **counts, built_at=time.time()), False
            row = _write_car(project, spool, root.cid)
    except OSError as error:
        raise StagingError(
            f"{project.staging_dir} can't take the CAR of the data set's root ({error.strerror}): "
            "see that the folder is there and writable and has free space, then try again"
        ) from error
    return replace(row, **counts, built_at=time.time(), build_seconds=time.monotonic() - started), True


def _entries(
    catalog: Catalog, name: str, spool: Spool, profile: Profile
) -> Iterator[tuple[bytes, int, Target | None]]:
    """Path, bytes of file data and target of all live entries, in path order; None: no CAR holds it."""
    for page in entries.live_pages(catalog, name):
        kinds = np.array([row.kind for row in page], dtype=np.int8)
        sizes = np.array([row.size for row in page], dtype=np.int64)
        tsizes = item_extents(kinds, sizes, profile).tsize.tolist()
        for row, tsize in zip(page, tsizes, strict=True):
            target = None
            if row.own_cid is not None:
                target = Target(bytes(row.own_cid), tsize)
            elif row.whole_cid is not None:
                target = _split(spool, root_of_split(catalog, row.id, row.size, profile))
            yield bytes(row.path), row.size if row.kind == Kind.FILE else 0, target


def _split(spool: Spool, root: FileNode) -> Target:
    """A split file: its nodes above the shards go into the spool."""

    def put(node: FileNode) -> int:
        if not node.block:
            return IN_OTHER_CAR
        return spool.add(node.cid, node.block, [put(child) for child in node.children])

    return Target(root.cid, root.tsize, put(root))


def _write_car(project: Project, spool: Spool, root: bytes) -> RootRow:
    """The CAR, written into the staging folder; what isn't known of its row here is 0."""
    size = HEADER_SIZE + spool.span
    if size > commp.MAX_PAYLOAD:
        raise PlanError(
            f"the folders of {project.name!r} take {size} bytes, a piece holds {commp.MAX_PAYLOAD}: "
            "make projects of parts of the folder"
        )
    area = area_of(project)
    piece = commp.PieceCommitment()
    sha256 = hashlib.sha256()
    with area.attempt(root_part_name(project.name), size) as output:
        at = 0
        for chunk in _chunks(nodes.header(root), spool.sections()):
            output.write(chunk, at)
            piece.update(chunk)
            sha256.update(chunk)
            at += len(chunk)
        output.sync()
        digest = piece.digest()
        v1 = commp.piece_cid_v1(digest)
        output.publish(cid.to_text(v1) + ".car")
    area.sync()
    return RootRow(
        project=project.name,
        scan=0,
        root_cid=root,
        entries=0,
        data_bytes=0,
        left_out=0,
        blocks=len(spool),
        file_name=cid.to_text(v1) + ".car",
        piece_cid_v1=v1,
        piece_cid_v2=commp.piece_cid_v2(digest, size),
        car_size=size,
        piece_size=piece.piece_size,
        sha256=sha256.digest(),
        built_at=0.0,
        build_seconds=0.0,
    )


def _chunks(header: bytes, sections: Iterator[bytes]) -> Iterator[memoryview]:
    """Header and sections in aligned pieces for the output; each is good until the next one is asked for."""
    buffer = memoryview(Buffers(_WRITE).take())
    pending = bytearray(header)
    for section in sections:
        pending += section
        while len(pending) >= _WRITE:
            buffer[:_WRITE] = pending[:_WRITE]
            del pending[:_WRITE]
            yield buffer
    buffer[: len(pending)] = pending
    yield buffer[: len(pending)]
