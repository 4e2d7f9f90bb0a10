"""Containerize: what the scan found, and no container holds yet, becomes a plan of containers.

A run loads what is to be planned, plans it, which needs no catalog, and records the plan in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog import container_plan, containers, dead_cars, projects, scans
from ptolemy_core.catalog.container_plan import Unplanned
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.encryption import PLAIN
from ptolemy_core.errors import BusyError
from ptolemy_core.keys import KeyProvider, WrappedKey
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.layout.plan import PlannedContainer, plan, split
from ptolemy_core.padding import padding_warning
from ptolemy_core.project import Project
from ptolemy_core.stages import dead
from ptolemy_core.stages.car_form import in_catalog
from ptolemy_core.stages.order import Stage, nothing_to_store, require
from ptolemy_core.stages.project_keys import ensure_data_keys, project_cipher

_TRIES = 3
"""Builds may change the plan while another one is made: it is then made again."""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan after a run.

    Attributes:
        containers: all of the project (in a dry run: the new ones only).
        new: how many this run planned.
        dropped: how many unbuilt containers were planned again, because files in them are gone or changed.
        warning: of a car_size that pads badly.
        saved: False in a dry run.
        empty: what there is to say if the project has nothing to store.
    """

    containers: list[ContainerRow]
    new: int
    dropped: int
    warning: str | None
    saved: bool
    empty: str | None = None


@dataclass(frozen=True, slots=True)
class PlanJob:
    """All that planning must know.

    Attributes:
        project: whose containers are planned.
        profile: of the DAG.
        stale: ids of unbuilt containers that are planned again.
        files: that are in no container, or partly, in path order.
        kept: of files that are partly in built containers, the numbers of the shards there.
        wrapped: data keys of an encrypted project.
        scan: the number of the scan whose entries are planned; None: it isn't finished.
        lost: ids of containers whose CARs are dead: what is left of their files is among those to be planned.
    """

    project: Project
    profile: Profile
    stale: frozenset[int]
    files: Unplanned
    kept: Mapping[int, frozenset[int]] = field(default_factory=dict)
    wrapped: tuple[WrappedKey, ...] = ()
    lost: frozenset[int] = frozenset()
    scan: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """New containers; their items are ranges of `items`, as the catalog has them, in path order of the CARs.

    `file_ids` are the catalog's ids of the items' files.
    """

    containers: list[PlannedContainer]
    items: Items
    file_ids: NDArray[np.int64]


@survives_outage
def containerize(
    catalog: Catalog,
    name: str,
    *,
    dry_run: bool = False,
    profile: Profile = UNIXFS_V1_2025,
    keys: KeyProvider | None = None,
) -> PlanResult:
    """Plan containers for all that has none.

    Args:
        catalog: where the project is.
        name: the project's.
        dry_run: only show what would be planned.
        profile: of the DAG.
        keys: of encrypted projects, whose CARs are in the order of encrypted names; by default as configured.

    Raises:
        UnknownProjectError, BusyError: no such project; another run is planning it.
        StageOrderError: it isn't scanned.
        PlanError: an item fits no container.
        EncryptionError: the project's key isn't there.
    """
    require(catalog, name, Stage.CONTAINERIZE)
    with catalog.lock(
        f"containerize {name}", busy=f"project {name!r} is being containerized already: wait for that run"
    ) as check_lock:
        for _ in range(_TRIES):
            job = load(catalog, name, profile, keys)
            made = work(job, keys)
            if dry_run:
                return _preview(catalog, job, made)
            with catalog.write() as connection:  # a plan is there as a whole or not at all
                check_lock()
                held = dead_cars.set_aside(connection, name, job.lost)
                if held and container_plan.take_back(connection, job.stale):
                    if made.containers:
                        container_plan.save(connection, name, made.containers, made.items, made.file_ids)
                    scans.set_planned(connection, name, job.scan)
                    break
                connection.rollback()
        else:
            raise BusyError(f"builds of project {name!r} keep changing its plan: wait for them to end")
    dead.drop_outlines(catalog, job.project, job.lost)
    rows = containers.rows(catalog, name)
    return PlanResult(
        containers=rows,
        new=len(made.containers),
        dropped=len(job.stale),
        warning=padding_warning(job.project.car_size),
        saved=True,
        empty=None if rows or len(job.files.ids) else nothing_to_store(catalog, name, job.project.target_dir),
    )


def load(catalog: Catalog, name: str, profile: Profile, keys: KeyProvider | None = None) -> PlanJob:
    """Read what planning must know; an encrypted project has data keys from its first plan on."""
    project = projects.get(catalog, name)
    wrapped = ensure_data_keys(catalog, project, keys)
    with catalog.read() as connection:
        scan = scans.newest_number(connection, name)
        stale = container_plan.stale(connection, name)
        lost = dead_cars.lost(connection, name)
        found = container_plan.read_unplanned(connection, name, built_only=stale is not None)
        kept = container_plan.partly_built(connection, name) if stale is not None else None
    if stale is None or kept is None:
        return PlanJob(project, profile, frozenset(), found, wrapped=wrapped, scan=scan)
    return PlanJob(project, profile, stale, found.merged(kept.files), kept.shards, wrapped, lost, scan)


def work(job: PlanJob, keys: KeyProvider | None = None) -> Plan:
    """Plan containers for what has none.

    Raises:
        PlanError: an item fits no container.
        EncryptionError: the project's key isn't there.
    """
    cipher = project_cipher(job.wrapped, keys, job.profile)
    form = PLAIN if cipher is None else cipher.form
    found, names = job.files, job.files.paths
    if cipher is not None:
        names = [cipher.car_path(path) for path in found.paths]
        order = sorted(range(len(names)), key=names.__getitem__)
        found, names = found.take(order), [names[k] for k in order]
    count = len(found.ids)
    files = Items(
        names,
        found.kinds,
        form.sizes(found.kinds, found.sizes),
        np.zeros(count, dtype=np.int64),
        np.full(count, WHOLE, dtype=np.int32),
    )
    items, origin = split(files, job.project.shard_bytes(job.profile))
    ids, wholes = found.ids[origin], found.sizes[origin]
    if job.kept:  # what is built stays where it is
        shards = zip(ids.tolist(), items.shards.tolist(), strict=True)
        missing = [k for k, (key, number) in enumerate(shards) if number not in job.kept.get(key, ())]
        items, ids, wholes = items.take(missing), ids[missing], wholes[missing]
    planned = plan(items, job.project.car_bytes(job.profile), job.profile)
    return Plan(planned, in_catalog(form, items, wholes), ids)


def _preview(catalog: Catalog, job: PlanJob, made: Plan) -> PlanResult:
    """What a run that isn't dry would add."""
    first = container_plan.next_number(catalog, job.project.name, job.stale)
    storage = job.project.car_storage
    rows = [
        ContainerRow(0, first + k, c.stop - c.start, c.data_bytes, c.car_size, c.piece_size, False, storage)
        for k, c in enumerate(made.containers)
    ]
    warning = padding_warning(job.project.car_size)
    return PlanResult(rows, len(rows), len(job.stale), warning, False)
