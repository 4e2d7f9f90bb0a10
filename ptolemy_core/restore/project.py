"""Restore of a project, or of parts of it, as a scan saw it: the catalog says which CARs hold what, and where.

`load` reads from the catalog what a restore needs, and looks for the CARs; `work` is the restore, and needs no
catalog: entries may come from anywhere. Before anything is written it is known which CARs are missing. Every block is
checked against the CIDs of the catalog, a split file also as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptolemy_core.catalog import data_keys, projects, scans, views
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.views import Entries, Stored, View
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.errors import OutlineError, SourceError, StageOrderError
from ptolemy_core.keys import configured_keys
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.durable import sync_file_system
from ptolemy_core.restore.entries import EachEntry
from ptolemy_core.restore.needs import NeededCar, Needs, RestoreError, looked_for
from ptolemy_core.restore.path import path_of
from ptolemy_core.restore.remote import Servers
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.target import EntryError, Target, check_free_space, state_name
from ptolemy_core.restore.write import Writer
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """All that a restore needs beside the entries.

    Attributes:
        needs: the CARs, and where they are.
        state_folder: name of the folder in the target with a restore's own state; no entry has it.
        profile: of the DAG.
        cipher: of an encrypted project.
    """

    needs: Needs
    state_folder: bytes
    profile: Profile = UNIXFS_V1_2025
    cipher: "ProjectCipher | None" = None


@dataclass(frozen=True, slots=True)
class Writing:
    """How a restore writes.

    Attributes:
        replace: write over files and links that are there and differ.
        sparse: leave out zeros, so that they are holes.
        threads: that read, hash and write at once.
    """

    replace: bool = False
    sparse: bool = True
    threads: int = 2


_USUAL = Writing()

__all__ = ["NeededCar", "Needs", "ProjectRestore", "RestoreError", "RestoreJob", "Writing", "load", "work"]


class ProjectRestore:
    """A restore of what a scan of a project saw.

    Args:
        catalog: where the project is.
        name: the project's.
        wanted: NUL-joined paths of files and folders; all if there are none.
        folders: where CARs are looked for; the project's staging_dir if there are none.
        servers: that have the pieces, and are asked for CARs that are in none of `folders`.
        scan_id: the scan whose view is restored; the newest if None.
        profile: of the DAG.

    Raises:
        UnknownProjectError: no such project.
        RestoreError: no such scan, or no entry matches.
    """

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        *,
        wanted: Sequence[bytes] = (),
        folders: Sequence[str] = (),
        servers: Servers | None = None,
        scan_id: int | None = None,
        profile: Profile = UNIXFS_V1_2025,
    ) -> None:
        view = View(name, scan_id, tuple(path for path in wanted if path))
        self._job = load(catalog, view, folders, profile, servers)
        self._entries = Entries(catalog, view)

    @property
    def needs(self) -> Needs:
        """What it needs."""
        return self._job.needs

    def write(
        self,
        to: bytes,
        *,
        replace: bool = False,
        sparse: bool = True,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> Report:
        """Restore into a folder; what is in CARs that are missing is a problem in the report.

        Args:
            to: the folder; made if it isn't there.
            replace: write over files and links that are there and differ.
            sparse: leave out zeros, so that they are holes.
            threads: that read, hash and write at once.
            progress: called with bytes done since the last call, `needs.size` in all.

        Raises:
            TargetError: the folder can't be used, or has too little free space.
            RestoreError: a CAR can't be opened, or is another than its name says.
        """
        return work(self._job, self._entries, to, Writing(replace, sparse, threads), progress=progress)


def load(
    catalog: Catalog,
    view: View,
    folders: Sequence[str] = (),
    profile: Profile = UNIXFS_V1_2025,
    servers: Servers | None = None,
) -> RestoreJob:
    """Read what the restore of a view needs, and look for its CARs.

    Args:
        catalog: where the project is.
        view: what to restore.
        folders: where CARs are looked for; the project's staging_dir if there are none.
        profile: of the DAG.
        servers: that are asked for CARs that are in none of `folders`.

    Raises:
        UnknownProjectError, StageOrderError: no such project; it isn't scanned.
        RestoreError: no such scan, or no entry matches.
    """
    project = projects.get(catalog, view.project)
    _require_known(catalog, view)
    totals = views.totals(catalog, view)
    needs = Needs(
        entries=totals.entries,
        size=totals.size,
        cars=looked_for(views.holding(catalog, view), project, folders, servers),
        unbuilt=[paths.display(path) for path in totals.unbuilt],
    )
    taken = views.names_at_top(catalog, view, state_name(()))
    return RestoreJob(needs, state_name(taken), profile, _cipher(catalog, project, profile))


def _cipher(catalog: Catalog, project: Project, profile: Profile) -> "ProjectCipher | None":
    if not project.is_encrypted:
        return None
    wrapped = data_keys.data_keys(catalog, project.name)
    return open_cipher(wrapped, configured_keys(), segment=profile.chunk)


def _require_known(catalog: Catalog, view: View) -> None:
    """See that a view's scan is one of the project, and that it saw something at each of the paths."""
    name = view.project
    if view.scan is None and not scans.is_scanned(catalog, name):
        raise StageOrderError.needs(name, "isn't scanned yet, so there is nothing to restore", "scan")
    if view.scan is not None and view.scan not in (known := views.scan_numbers(catalog, name)):
        raise RestoreError(
            f"project {name!r} has no scan {view.scan}: its scans are {', '.join(map(str, known)) or 'none'}"
        )
    for path in view.below:
        if views.is_empty(catalog, View(name, view.scan, (path,))):
            raise RestoreError(
                f"project {name!r} has no entry {paths.display(path)!r}: "
                "give a path below target_dir, as `ptolemy find` shows it"
            )


def work(
    job: RestoreJob,
    entries: Iterable[Stored],
    to: bytes,
    how: Writing = _USUAL,
    *,
    progress: Progress | None = None,
) -> Report:
    """Restore entries into a folder. It needs no catalog.

    Args:
        job: what is needed.
        entries: what to restore, in path order; iterated twice where the folder has little free space.
        to: the folder; made if it isn't there.
        how: to write.
        progress: called with bytes done since the last call, `job.needs.size` in all.

    Raises:
        TargetError: the folder can't be used, or has too little free space.
        RestoreError: a CAR can't be opened, or is another than its name says.
    """
    report = Report()
    here = [one for one in job.needs.cars if one.path is not None]
    try:
        blocks = Blocks([one.open() for one in here], index=False)
    except OSError as error:
        raise RestoreError(f"a CAR can't be opened: {error.filename}: {error.strerror}") from None
    except (CarError, OutlineError, SourceError) as error:
        raise RestoreError(f"a CAR can't be opened: {error}") from None
    try:
        for one, opened in zip(here, blocks.cars, strict=True):
            if opened.header.roots != (one.car.payload_cid,):
                raise RestoreError(
                    f"{opened.name} is another CAR: its root isn't {cid.to_text(one.car.payload_cid)}"
                )
        with Target(to, job.state_folder, replace=how.replace) as target:
            check_free_space(target, job.needs.size, _there(target, entries))
            with Writer(
                blocks, target, report, sparse=how.sparse, threads=how.threads, progress=progress
            ) as writer:
                numbers = {one.car.container_id: number for number, one in enumerate(here)}
                each = EachEntry(writer, report, blocks, numbers, job.profile, job.cipher)
                for entry in entries:
                    each.restore(entry)
        report.warnings += blocks.damage([one.car.car_size for one in here])
    finally:
        blocks.close()
    sync_file_system(to)
    return report


def _there(target: Target, entries: Iterable[Stored]) -> Iterator[int]:
    """Bytes of files that are at their places already."""
    for entry in entries:
        if entry.kind == Kind.FILE:
            with suppress(EntryError):
                yield target.bytes_there(path_of(paths.names(entry.path)), entry.size)
