"""The data set's own root: a project's whole tree as one DAG, above all of its CARs.

Its CAR holds what no other does: the folders, and the nodes of split files above their shards. The entries come
from the catalog in path order, so no source is read. `root_job` has the building itself.
"""

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.interrupts import deferred
from ptolemy_core.progress import Progress
from ptolemy_core.stages import root_job
from ptolemy_core.staging.area import area_of

_WAIT = 24 * 3600.0
"""Seconds to wait for another process that builds the same root."""


def build_root(
    catalog: Catalog,
    name: str,
    *,
    rebuild: bool = False,
    profile: Profile = UNIXFS_V1_2025,
    progress: Progress | None = None,
) -> tuple[RootRow, bool]:
    """Put the whole tree of a project's last scan together, unless that is done.

    Args:
        catalog: where the project is.
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
        PlanError: two names can't be in one HAMT, or the CAR fits no piece.
        StagingError: the staging folder can't take the CAR.
        ReceiptError: a rebuilt CAR is another than before.
    """
    project = projects.get(catalog, name)
    with catalog.lock(f"root {name}", wait=_WAIT):
        job = root_job.load(catalog, project, profile)
        last = job.last
        if job.done and last and (not rebuild or area_of(project).has(last.file_name, last.car_size)):
            return last, False
        with deferred() as deferral:
            with Reporter(catalog, name, Task(Work.ROOT), None) as reporter:

                def report(count: int) -> None:
                    deferral.check()
                    reporter.advance(count)
                    if progress:
                        progress(count)

                row, built = root_job.work(job, root_job.pages(catalog, job), report)
            root_job.record(catalog, job, row)
    return row, built
