"""Deals of a project: planned, recorded with their IDs, sent, and followed until they are active or over.

An ID is on disk before it is sent, and is used again for every try: whatever breaks between request and record, the
next round asks the provider what it has. See `deal_plan` for who gets what, `deal_round` for one round of requests.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ptolemy_core import epochs
from ptolemy_core.address import Network
from ptolemy_core.catalog import allocations, cars, deal_counts, deals, projects, providers, replicas
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.deals import Change, DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.deals import DealState
from ptolemy_core.deals.manual import set_state
from ptolemy_core.deals.states import LIVE, is_over, may_follow
from ptolemy_core.errors import DealError, NotFoundError, SettingsError
from ptolemy_core.keys.wallets import Wallets
from ptolemy_core.project import Project
from ptolemy_core.stages import deal_plan
from ptolemy_core.stages.deal_plan import BY_USER, Assignment, Clock, DealPlan, Facts
from ptolemy_core.stages.deal_proposal import network_of
from ptolemy_core.stages.deal_settings import network_of_all, require_settings, require_sources, transfer_to
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.ulid import new_ulid


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of a project a command is about: its pieces (CIDs v2) and providers (names); empty: all."""

    pieces: frozenset[bytes] = frozenset()
    providers: tuple[str, ...] = ()


EVERYTHING = Chosen()


def plan(
    catalog: Catalog, name: str, wallets: Wallets, chosen: Chosen = EVERYTHING, now: Clock = time.time
) -> DealPlan:
    """Which deals a project needs, and with whom; nothing is sent or changed.

    Raises:
        UnknownProjectError, StageOrderError: no such project; no CAR of it is built.
        SettingsError: its settings for deals aren't complete.
        NotFoundError: one of its providers isn't known.
        UnknownKeyError: its wallet isn't.
    """
    project = projects.get(catalog, name)
    require(catalog, name, Stage.DEAL)
    wanted = _providers(catalog, project, chosen)
    require_settings(project)
    network = network_of_all(project, wanted)
    client = str(wallets.find(project.deal_wallet or "").address(network))
    rows = [row for row in cars.rows(catalog, name) if not chosen.pieces or row.piece_cid_v2 in chosen.pieces]
    moment = now()
    elsewhere = replicas.elsewhere(catalog, name)
    known = deals.select(catalog, pieces=[row.piece_cid_v2 for row in rows])
    return deal_plan.make_plan(
        Facts(
            project=project,
            cars=rows,
            deals=[one for one in known if one.provider not in elsewhere],
            providers=wanted,
            loads=deal_counts.loads(catalog),
            allocations=allocations.free(catalog, network) if project.deal_verified else None,
            client=client,
            now=moment,
            epoch=epochs.epoch_of(moment, network),
        )
    )


def record_plan(
    catalog: Catalog, name: str, wallets: Wallets, chosen: Chosen = EVERYTHING, now: Clock = time.time
) -> DealPlan:
    """Plan, and record the deals that are to be made; none is sent yet.

    Raises:
        PtolemyError: as `plan` does; BusyError where another process plans.
    """
    project = projects.get(catalog, name)
    require_sources(project, _providers(catalog, project, chosen))
    settle_deals(catalog, name, now)
    with catalog.lock("deal plan", wait=60, busy="deals are being planned elsewhere: wait for that"):
        made = plan(catalog, name, wallets, chosen, now)
        project = projects.get(catalog, name)
        clients = {
            network: str(wallets.find(project.deal_wallet or "").address(network_of(network)))
            for network in {one.provider.network for one in made.assignments}
        }
        rows = [_row(project, one, clients[one.provider.network], now()) for one in made.assignments]
        deals.add(catalog, rows)
    return made


def settle_deals(catalog: Catalog, name: str, now: Clock = time.time) -> None:
    """End the deals of a project's pieces whose last epoch is past, and see which CARs are delivered now."""
    pieces = {row.piece_cid_v2 for row in cars.rows(catalog, name)}
    over = [
        row
        for row in deals.select(catalog, pieces=pieces, live=True)
        if row.state == DealState.ACTIVE and is_past(row, now())
    ]
    deals.record(
        catalog,
        [Change(row, DealState.EXPIRED, False, "its end epoch is past") for row in over],
        now(),
    )
    replicas.settle(catalog, name)


def is_past(row: DealRow, now: float) -> bool:
    """Whether the end epoch of a deal is past."""
    return row.end_epoch is not None and row.end_epoch < epochs.epoch_of(now, network_of_deal(row))


def network_of_deal(row: DealRow) -> Network:
    """The network that a deal is made on, by its client's address."""
    return network_of("calibration" if (row.client or "").startswith("t") else "mainnet")


def _row(project: Project, one: Assignment, client: str, now: float) -> DealRow:
    car = one.car
    return DealRow(
        id=new_ulid(),
        project=project.name,
        container_id=car.container_id,
        piece_cid_v2=car.piece_cid_v2,
        payload_cid=car.payload_cid,
        car_size=car.car_size,
        piece_size=car.piece_size,
        provider=one.provider.name,
        engine=one.provider.engine,
        state=DealState.PLANNED,
        live=True,
        wallet=project.deal_wallet,
        client=client,
        transfer=transfer_to(project, one.provider),
        duration=project.deal_days * epochs.DAY,
        start_hours=project.deal_start_hours,
        start_epoch=None,
        end_epoch=None,
        allocation_id=one.allocation_id,
        renews=one.renews,
        attempt=one.attempt,
        tries=0,
        next_at=now,
        checked_at=None,
        created_at=now,
        changed_at=now,
        fault=None,
        message="",
        forgiven=False,
    )


def _providers(catalog: Catalog, project: Project, chosen: Chosen) -> list[ProviderRow]:
    return providers.rows(catalog, chosen.providers or project.providers)


def pieces_named(found: Sequence[CarRow]) -> frozenset[bytes]:
    """The pieces of these CARs."""
    return frozenset(row.piece_cid_v2 for row in found)


def cancel(catalog: Catalog, row: DealRow) -> DealRow:
    """Give up a deal that isn't active. What the provider has of it stays there.

    Raises:
        DealError: it is active or over, or went on meanwhile.
    """
    _require_provider(row)
    if not may_follow(DealState(row.state), DealState.CANCELLED):
        raise DealError(
            f"deal {row.id} is {row.state} and can't be cancelled"
            + (": its provider keeps the piece until the deal ends" if row.state == DealState.ACTIVE else "")
        )
    change = Change(row, DealState.CANCELLED, False, "cancelled by the user", BY_USER)
    deals.require_changed(deals.record(catalog, [change]), row)
    return replace(row, state=DealState.CANCELLED, live=False)


def retry(catalog: Catalog, rows: Sequence[DealRow]) -> tuple[int, int]:
    """Let deals be tried again now: those that are over no longer count against their providers.

    Returns:
        How many were over, and how many live ones are due now.
    """
    over = [row.id for row in rows if not row.live]
    waiting = [row.id for row in rows if row.live and row.state != DealState.ACTIVE]
    deals.forgive(catalog, over)
    deals.make_due(catalog, waiting)
    return len(over), len(waiting)


def state_named(text: str) -> DealState:
    """The state of deals of that name.

    Raises:
        SettingsError: there is no such state.
    """
    if text not in list(DealState):
        raise SettingsError(f"no state {text[:40]!r}: states are {', '.join(DealState)}")
    return DealState(text)


def set_by_hand(catalog: Catalog, row: DealRow, state: str, note: str = "") -> DealRow:
    """Set the state of a deal of the engine `manual`.

    Raises:
        DealError: the deal isn't one, or its state can't follow.
        SettingsError: there is no such state.
    """
    _require_provider(row)
    if row.engine != deals.MANUAL:
        raise DealError(
            f"deal {row.id} is of the engine {row.engine}, which asks the provider: only manual deals are set by hand"
        )
    new = set_state(DealState(row.state), state_named(state))
    values = ends(row, new, time.time())
    change = Change(row, new, not is_over(new), note or "set by hand", None, values)
    deals.require_changed(deals.record(catalog, [change]), row)
    return replace(row, state=new, live=not is_over(new))


def _require_provider(row: DealRow) -> None:
    """See that a deal isn't the mark of a CAR.

    Raises:
        DealError: it is.
    """
    if row.provider is None:
        raise DealError(
            f"deal {row.id} is a CAR that is marked as delivered by hand: `ptolemy release "
            f"{cid.to_text(row.payload_cid)} --undo` takes the mark back"
        )


def ends(row: DealRow, state: DealState, now: float) -> dict[str, int]:
    """The earliest possible end of a deal whose sector is sealed just now: counted from when it last wasn't."""
    sealed = LIVE.index(DealState.INDEXING)
    if row.end_epoch is not None or state not in LIVE or LIVE.index(state) < sealed or row.duration is None:
        return {}
    since = row.checked_at or row.created_at
    network = network_of_deal(row)
    return {"end_epoch": epochs.epoch_of(min(since, now), network) + row.duration}


def expiring(catalog: Catalog, name: str, days: float, now: Clock = time.time) -> list[DealRow]:
    """Active deals of a project that end within so many days and aren't renewed yet, the first one first."""
    projects.get(catalog, name)
    active = [row for row in deals.select(catalog, project=name, live=True) if row.state == DealState.ACTIVE]
    renewed = {row.renews for row in active}
    found = []
    for row in active:
        until = epochs.epoch_of(now(), network_of_deal(row)) + days * epochs.DAY
        if row.end_epoch is not None and row.end_epoch <= until and row.id not in renewed:
            found.append(row)
    return sorted(found, key=lambda row: row.end_epoch or 0)


def piece_named(catalog: Catalog, name: str, text: str) -> bytes:
    """The piece CID v2 of a CAR of a project, by any of its CIDs.

    Raises:
        NotFoundError: none has it.
    """
    try:
        binary = cid.from_text(text)
    except ValueError:
        binary = b""
    for row in cars.rows(catalog, name):
        if binary in (row.piece_cid_v2, row.piece_cid_v1, row.payload_cid):
            return row.piece_cid_v2
    raise NotFoundError(f"project {name!r} has no piece {text[:120]!r}: `ptolemy cars {name}` shows its CIDs")
