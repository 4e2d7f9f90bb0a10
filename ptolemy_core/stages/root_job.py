"""The building of a data set's root, in three parts: load what it needs, do the work, record the result.

`work` needs no catalog: it takes the entries in path order, page by page, and writes a CAR into the staging area.
Memory holds the links of open folders only.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import commp
from ptolemy_core.car import nodes
from ptolemy_core.car.folders import FolderTree, Targets
from ptolemy_core.car.spool import IN_OTHER_CAR, Spool
from ptolemy_core.catalog import container_plan, containers, entries, roots, scans
from ptolemy_core.catalog.entries import LivePage
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.encryption import Form
from ptolemy_core.encryption.opening import form_of
from ptolemy_core.errors import BusyError, PlanError, ReceiptError, StageOrderError, StagingError
from ptolemy_core.keys import WrappedKey
from ptolemy_core.layout import HEADER_SIZE, item_extents
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.sizes import counted
from ptolemy_core.source.buffers import new_buffer
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.project_keys import ensure_data_keys, project_cipher
from ptolemy_core.staging.area import area_of, root_part_name
from ptolemy_core.tree import Kind

_WRITE = 4 << 20


@dataclass(frozen=True, slots=True)
class RootJob:
    """All that the building of a root needs beside the entries.

    Attributes:
        project: its settings say where the staging folder is.
        scan: the scan whose tree it is.
        profile: of the DAG.
        last: the project's newest root; None if it has none.
        wrapped: data keys of an encrypted project.
    """

    project: Project
    scan: int
    profile: Profile
    last: RootRow | None = None
    wrapped: tuple[WrappedKey, ...] = ()

    @property
    def done(self) -> bool:
        """Whether this scan has its root already: then only its CAR is to be built again."""
        return self.last is not None and self.last.scan == self.scan


def load(catalog: Catalog, project: Project, profile: Profile) -> RootJob:
    """Read what the building of a root needs.

    Raises:
        StageOrderError: the project isn't scanned, or something of it is not planned or not built.
    """
    scan = _finished_scan(catalog, project.name)
    last = next(roots.rows(catalog, project.name), None)
    return RootJob(project, scan, profile, last, ensure_data_keys(catalog, project))


def pages(catalog: Catalog, job: RootJob) -> Iterator[LivePage]:
    """The entries that `work` takes.

    Raises:
        BusyError: after the last one, if a scan began meanwhile.
    """
    name = job.project.name
    yield from entries.live_pages(catalog, name, job.profile)
    if _finished_scan(catalog, name) != job.scan:
        raise BusyError(f"project {name!r} was scanned in the meantime: try again")


def work(job: RootJob, found: Iterable[LivePage], progress: Progress) -> tuple[RootRow, bool]:
    """Put a tree together, and write its CAR into the staging folder. It needs no catalog.

    Args:
        job: what to build.
        found: the entries in path order, page by page.
        progress: called with entries done since the last call.

    Returns:
        the root, and whether a CAR was written: not where an earlier scan's root has the same tree.

    Raises:
        PlanError: two names can't be in one HAMT, or the CAR fits no piece.
        StagingError: the staging folder can't take the CAR.
        EncryptionError: the project's key isn't there.
    """
    started = time.monotonic()
    form = form_of(job.project, job.profile.chunk)
    cipher = project_cipher(job.wrapped, None, job.profile) if form.names else None
    try:
        if job.project.stages_to_store:  # a staging folder that is gone is an error
            os.makedirs(job.project.local_dir, exist_ok=True)
        with Spool(job.project.local_dir) as spool:
            tree = FolderTree(spool, job.profile)
            count = data_bytes = left_out = 0
            for page in found:
                kept, targets = _targets(page, spool, job.profile, form)
                names = [page.paths[k] for k in kept.tolist()]
                tree.add([cipher.car_path(path) for path in names] if cipher else names, targets)
                count += len(kept)
                left_out += len(page) - len(kept)
                data_bytes += int(page.sizes[kept][page.kinds[kept] == Kind.FILE].sum())
                progress(len(page))
            root = tree.finish().cid
            last = job.last
            row = last if last is not None and not job.done and last.root_cid == root else None
            built = row is None
            row = row or _write_car(job.project, spool, root)
    except OSError as error:
        raise StagingError(
            f"{job.project.local_dir} can't take the CAR of the data set's root ({error.strerror}): "
            "check that the folder exists, is writable and has free space, then try again"
        ) from error
    row = replace(
        row,
        scan=job.scan,
        entries=count,
        data_bytes=data_bytes,
        left_out=left_out,
        built_at=time.time(),
        build_seconds=time.monotonic() - started if built else row.build_seconds,
    )
    return row, built


def is_lost(project: Project, row: RootRow) -> bool:
    """Whether a root's CAR is neither in the staging folder nor marked as delivered."""
    return row.delivered_at is None and not area_of(project).has(row.file_name, row.car_size)


def record(catalog: Catalog, job: RootJob, row: RootRow) -> None:
    """Write a new root.

    Raises:
        ReceiptError: the CAR was built again, as another one.
    """
    if not job.done:
        roots.write(catalog, row)
    elif job.last is not None and row.root_cid != job.last.root_cid:
        raise ReceiptError(
            f"the root of {row.project!r} at scan {job.scan} was {cid.to_text(job.last.root_cid)} and is now "
            f"{cid.to_text(row.root_cid)}: scan, containerize and blitz, then try again"
        )


def _finished_scan(catalog: Catalog, name: str) -> int:
    """The project's last scan; all that it found is planned and built."""
    newest = scans.last(catalog, name, merged=True)
    if newest is not None and not newest.finished:
        raise StageOrderError.needs(name, "is being scanned, or its last scan was cut off", Stage.SCAN)
    require(catalog, name, Stage.ROOT)
    assert newest is not None
    unplanned = container_plan.any_unplanned(catalog, name)
    missing = sum(not row.built for row in containers.rows(catalog, name))
    if unplanned or missing:
        what = "files in no container" if unplanned else f"{counted(missing, 'CAR')} to build"
        raise StageOrderError(f"project {name!r} still has {what}: run `ptolemy run {name}` first")
    return newest.number


def _targets(page: LivePage, spool: Spool, profile: Profile, form: Form) -> tuple[NDArray[np.int64], Targets]:
    """The entries of a page that CARs hold, by their places in it, and what a folder's link to each of them says."""
    cids = list(page.cids)
    tsizes = item_extents(page.kinds, form.sizes(page.kinds, page.sizes), profile).tsize.copy()
    blocks = np.full(len(cids), IN_OTHER_CAR, dtype=np.int64)
    for row, root in page.split.items():
        cids[row], tsizes[row], blocks[row] = root.cid, root.tsize, _spooled(spool, root)
    kept = np.array([row for row, own in enumerate(cids) if own is not None], dtype=np.int64)
    return kept, Targets([own for own in cids if own is not None], tsizes[kept], blocks[kept])


def _spooled(spool: Spool, node: FileNode) -> int:
    """A split file's nodes above its shards go into the spool; returns the block number of this one."""
    if not node.block:
        return IN_OTHER_CAR
    return spool.add(node.cid, node.block, [_spooled(spool, child) for child in node.children])


def _write_car(project: Project, spool: Spool, root: bytes) -> RootRow:
    """The CAR, written into the staging folder; what isn't known of its row here is 0."""
    size = HEADER_SIZE + spool.span
    if size > commp.MAX_PAYLOAD:
        raise PlanError(
            f"the folders of {project.name!r} take {size} bytes, a piece holds {commp.MAX_PAYLOAD}: "
            "split the folder into several projects"
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
    buffer = memoryview(new_buffer(_WRITE))
    pending = bytearray(header)
    for section in sections:
        pending += section
        while len(pending) >= _WRITE:
            buffer[:_WRITE] = pending[:_WRITE]
            del pending[:_WRITE]
            yield buffer
    buffer[: len(pending)] = pending
    yield buffer[: len(pending)]
