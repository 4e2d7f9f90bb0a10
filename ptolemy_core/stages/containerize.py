"""Containerize: what the scan found, and no container holds yet, becomes a plan of containers.

A run loads what is to be planned, plans it, which needs no catalog, and records the plan in one transaction. All of
it streams: what is to be planned is read once, into a temporary file if it is much.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog import container_plan, containers, dead_cars, projects, scans
from ptolemy_core.catalog.container_plan import PlannedItems, Unplanned
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.encryption import PLAIN, Form
from ptolemy_core.errors import BusyError
from ptolemy_core.keys import KeyProvider, WrappedKey
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.layout.plan import PlannedContainer, plan_batches, split
from ptolemy_core.padding import padding_warning
from ptolemy_core.project import Project
from ptolemy_core.source.protocol import Entry
from ptolemy_core.source.sorted_runs import SortedRuns
from ptolemy_core.stages import dead
from ptolemy_core.stages.car_form import in_catalog
from ptolemy_core.stages.order import Stage, nothing_to_store, require
from ptolemy_core.stages.project_keys import ensure_data_keys, project_cipher
from ptolemy_core.stages.spill import Spill

_BATCH = 20_000
"""Files that are planned at once."""

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
        files: that are in no container, or partly, in path order and in batches; they can be read again and again.
        kept: of files that are partly in built containers, the numbers of the shards there.
        wrapped: data keys of an encrypted project.
        scan: the number of the scan whose entries are planned; None: it isn't finished.
        lost: ids of containers whose CARs are dead: what is left of their files is among those to be planned.
        count: of files.
    """

    project: Project
    profile: Profile
    stale: frozenset[int]
    files: Iterable[Unplanned]
    kept: Mapping[int, frozenset[int]] = field(default_factory=dict)
    wrapped: tuple[WrappedKey, ...] = ()
    lost: frozenset[int] = frozenset()
    scan: int | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """New containers, and the files whose shards they hold, in path order of the CARs."""

    containers: list[PlannedContainer]
    files: "CarFiles"

    def items(self) -> Iterator[PlannedItems]:
        """The items of all containers, as the catalog has them, in batches."""
        form = self.files.form
        for batch in self.files:
            yield PlannedItems(in_catalog(form, batch.items, batch.wholes), batch.file_ids)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items as they are in CARs, and of each one's file the id and the size in the source."""

    items: Items
    file_ids: NDArray[np.int64]
    wholes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CarFiles:
    """Files as they are in CARs, in batches of items, which can be read again and again.

    Attributes:
        files: in path order of the CARs, with their paths there.
        form: of the CARs.
        shard_bytes: data of a shard, at most.
        kept: see `PlanJob`.
    """

    files: Iterable[Unplanned]
    form: Form
    shard_bytes: int
    kept: Mapping[int, frozenset[int]]

    def __iter__(self) -> Iterator[_Batch]:
        for found in self.files:
            count = len(found.ids)
            whole = Items(
                found.paths,
                found.kinds,
                self.form.sizes(found.kinds, found.sizes),
                np.zeros(count, dtype=np.int64),
                np.full(count, WHOLE, dtype=np.int32),
            )
            items, origin = split(whole, self.shard_bytes)
            batch = _Batch(items, found.ids[origin], found.sizes[origin])
            yield self._without_kept(batch) if self.kept else batch

    def _without_kept(self, batch: _Batch) -> _Batch:
        """What is built stays where it is."""
        shards = zip(batch.file_ids.tolist(), batch.items.shards.tolist(), strict=True)
        missing = [k for k, (key, number) in enumerate(shards) if number not in self.kept.get(key, ())]
        return _Batch(batch.items.take(missing), batch.file_ids[missing], batch.wholes[missing])


class _Spilled:
    """Batches of files that are kept until later."""

    def __init__(self, kept: Spill[tuple[bytes, list[bytes], bytes, bytes]]) -> None:
        self._kept = kept
        self.count = 0

    def fill(self, batches: Iterable[Unplanned]) -> "_Spilled":
        """Take all of them."""
        for one in batches:
            columns = (one.ids.tobytes(), list(one.paths), one.kinds.tobytes(), one.sizes.tobytes())
            self._kept.append(columns, len(one.ids))
            self.count += len(one.ids)
        return self

    def __iter__(self) -> Iterator[Unplanned]:
        for ids, names, kinds, sizes in self._kept:
            yield Unplanned(
                np.frombuffer(ids, np.int64),
                names,
                np.frombuffer(kinds, np.int8),
                np.frombuffer(sizes, np.int64),
            )


class _InCarOrder:
    """Files by their encrypted paths."""

    def __init__(self, runs: SortedRuns) -> None:
        self._runs = runs

    def __iter__(self) -> Iterator[Unplanned]:
        waiting = iter(self._runs)
        while some := list(itertools.islice(waiting, _BATCH)):
            names, kinds, sizes, ids, *_ = zip(*some, strict=True)
            yield Unplanned(
                np.array(ids, np.int64), list(names), np.array(kinds, np.int8), np.array(sizes, np.int64)
            )


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
            with ExitStack() as files:
                job = load(catalog, name, profile, keys, files)
                made = work(job, keys, files)
                if dry_run:
                    return _preview(catalog, job, made)
                if _record(catalog, job, made, check_lock):
                    break
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
        empty=None if rows or job.count else nothing_to_store(catalog, name, job.project.target_dir),
    )


def load(
    catalog: Catalog, name: str, profile: Profile, keys: KeyProvider | None, files: ExitStack
) -> PlanJob:
    """Read what planning must know; an encrypted project has data keys from its first plan on.

    The temporary file of what is to be planned is gone when `files` is closed.
    """
    project = projects.get(catalog, name)
    wrapped = ensure_data_keys(catalog, project, keys)
    with catalog.read() as connection:
        scan = scans.newest_number(connection, name)
        stale = container_plan.stale(connection, name)
        lost = dead_cars.lost(connection, name)
        found = container_plan.read_unplanned(connection, name, built_only=stale is not None)
        kept = container_plan.partly_built(connection, name) if stale is not None else None
        if kept is not None:
            found = container_plan.merge(found, kept.files)
        spilled = _Spilled(files.enter_context(Spill(project.local_dir))).fill(found)
    if stale is None or kept is None:
        return PlanJob(
            project, profile, frozenset(), spilled, wrapped=wrapped, scan=scan, count=spilled.count
        )
    return PlanJob(project, profile, stale, spilled, kept.shards, wrapped, lost, scan, spilled.count)


def work(job: PlanJob, keys: KeyProvider | None, files: ExitStack) -> Plan:
    """Plan containers for what has none. The temporary files are gone when `files` is closed.

    Raises:
        PlanError: an item fits no container.
        EncryptionError: the project's key isn't there.
    """
    cipher = project_cipher(job.wrapped, keys, job.profile)
    found = job.files
    if cipher is not None:
        runs = files.enter_context(SortedRuns())
        for one in found:
            names = map(cipher.car_path, one.paths)
            columns = (one.kinds.tolist(), one.sizes.tolist(), one.ids.tolist())
            runs.add(list(map(Entry, names, *columns)))  # the file's id as its token
        found = _InCarOrder(runs)
    form = PLAIN if cipher is None else cipher.form
    cars = CarFiles(found, form, job.project.shard_bytes(job.profile), job.kept)
    planned = plan_batches(
        lambda: (batch.items for batch in cars), job.project.car_bytes(job.profile), job.profile
    )
    return Plan(planned, cars)


def _record(catalog: Catalog, job: PlanJob, made: Plan, check_lock: Callable[[], None]) -> bool:
    """Write a plan, as a whole or not at all; False if builds changed the one that it was made for."""
    name = job.project.name
    with catalog.write() as connection:
        check_lock()
        held = dead_cars.set_aside(connection, name, job.lost)
        if held and container_plan.take_back(connection, job.stale):
            if made.containers:
                container_plan.save(connection, name, made.containers, made.items())
            scans.set_planned(connection, name, job.scan)
            return True
        connection.rollback()
    return False


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
