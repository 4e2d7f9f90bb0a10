"""Which pieces go to which providers: decided from what the catalog has, without asking or changing anything.

A piece needs as many providers as its project wants replicas; of those that may get it, the one with the fewest bytes
is next. A provider at which a deal failed is tried again, with growing delays, until it had three; then the next one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ptolemy_core import epochs
from ptolemy_core.catalog.allocations import AllocationRow
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.deals.faults import Fault
from ptolemy_core.deals.proposal import MIN_VERIFIED_PIECE
from ptolemy_core.deals.states import DealState
from ptolemy_core.project import Project

TRIES: Final = 3
"""How often a deal is tried at a provider before the next one gets the piece."""

DELAYS: Final = (60.0, 600.0, 3600.0)
"""Seconds to wait after the first, second and third failure."""

REST: Final = 24 * 3600.0
"""Seconds that a provider isn't tried after what may pass, such as a market that is turned off."""

BY_USER: Final = "by-user"
"""Fault of a deal that a user cancelled."""

GAVE_UP: Final = "gave-up"
"""Fault of a deal that was given up as its provider didn't answer."""

_PASSES: Final = frozenset(
    {GAVE_UP, Fault.MARKET_OFF, Fault.PRODUCT_OFF, Fault.SOURCE_UNSUPPORTED, Fault.REJECTED_BY_MARKET}
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A deal to make: the CAR, with whom, its attempt there, the allocation, and the deal that it renews."""

    car: CarRow
    provider: ProviderRow
    attempt: int = 1
    allocation_id: int | None = None
    renews: str = ""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A piece that can't get all its replicas now: how many are missing, and why, by provider."""

    car: CarRow
    missing: int
    reasons: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class DealPlan:
    """What is to be done.

    Attributes:
        assignments: deals to make.
        short: pieces without enough providers.
        waiting: pieces whose next try at the same provider is due later, with the seconds until then.
        pieces, wanted, active, on_the_way: numbers of pieces, and of their deals.
    """

    assignments: list[Assignment] = field(default_factory=list)
    short: list[Shortfall] = field(default_factory=list)
    waiting: list[tuple[CarRow, str, float]] = field(default_factory=list)
    pieces: int = 0
    wanted: int = 0
    active: int = 0
    on_the_way: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan is made from.

    Attributes:
        project: with its settings.
        cars: to store.
        deals: of their pieces, of all projects.
        providers: in the order of the project's setting.
        loads: what each provider has.
        allocations: that are free; None: deals need none.
        client: the address of the wallet.
        now: seconds since 1970.
        epoch: the network's.
    """

    project: Project
    cars: Sequence[CarRow]
    deals: Sequence[DealRow]
    providers: Sequence[ProviderRow]
    loads: Mapping[str, Load]
    allocations: Sequence[AllocationRow] | None
    client: str
    now: float
    epoch: int


def make_plan(facts: Facts) -> DealPlan:
    """Which deals to make."""
    return _Planner(facts).plan()


def is_stuck(row: DealRow) -> bool:
    """Whether a proposal may have arrived, and its provider doesn't say: it doesn't count as a replica any more."""
    return row.state == DealState.SENT and row.tries >= TRIES


class _Planner:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._deals: dict[bytes, list[DealRow]] = defaultdict(list)
        for row in facts.deals:
            self._deals[row.piece_cid_v2].append(row)
        self._pending = {p.name: _load(facts.loads, p).pending for p in facts.providers}
        self._pending_bytes = {p.name: _load(facts.loads, p).pending_bytes for p in facts.providers}
        self._total = {p.name: _load(facts.loads, p).total_bytes for p in facts.providers}
        self._free: dict[tuple[str, bytes], list[AllocationRow]] = defaultdict(list)
        for one in reversed(facts.allocations or ()):
            self._free[one.provider, one.piece_cid_v1].append(one)
        self._plan = DealPlan()

    def plan(self) -> DealPlan:
        plan, seen = self._plan, set()
        for car in self._facts.cars:
            if car.piece_cid_v2 in seen or car.dead_at is not None:
                continue  # the same content twice is one piece, and nobody can fetch a dead CAR
            seen.add(car.piece_cid_v2)
            self._place(car)
        plan.pieces = len(seen)
        plan.wanted = plan.pieces * (self._facts.project.replicas or 0)
        return plan

    def _place(self, car: CarRow) -> None:
        deals = self._deals.get(car.piece_cid_v2, [])
        live = [row for row in deals if row.live]
        counted = {row.provider for row in live if not is_stuck(row)}
        active = {row.provider for row in live if row.state == DealState.ACTIVE}
        self._plan.active += len(active)
        self._plan.on_the_way += len(counted - active)
        counted -= self._renew(car, deals, live)
        missing = (self._facts.project.replicas or 0) - len(counted)
        if missing <= 0:
            return
        held = {row.provider for row in live}
        over = self._over(deals)
        refused: list[tuple[str, str]] = []
        able: list[tuple[ProviderRow, int]] = []
        for provider in self._facts.providers:
            if provider.name in held:
                continue
            reason, wait = self._history(over.get(provider.name, []))
            if wait > 0 and missing:
                missing -= 1  # it is tried there again before another provider gets it
                self._plan.waiting.append((car, provider.name, wait))
            elif reason is None:
                able.append((provider, len(over.get(provider.name, [])) + 1))
            else:
                refused.append((provider.name, reason))
        # a stable order: where bytes are equal, the project's setting decides
        for provider, attempt in sorted(able, key=lambda one: self._total[one[0].name]):
            if not missing:
                return
            reason = self._take(car, provider, attempt)
            if reason is None:
                missing -= 1
            else:
                refused.append((provider.name, reason))
        if missing:
            self._plan.short.append(Shortfall(car, missing, tuple(refused)))

    def _over(self, deals: Iterable[DealRow]) -> dict[str, list[DealRow]]:
        over: dict[str, list[DealRow]] = defaultdict(list)
        for row in deals:
            if not row.live and not row.forgiven and row.state != DealState.EXPIRED and row.provider:
                over[row.provider].append(row)
        return over

    def _history(self, past: Sequence[DealRow]) -> tuple[str | None, float]:
        """Why a provider doesn't get a piece after what was before; and the seconds until it is tried again."""
        if not past:
            return None, 0.0
        last = past[-1]
        age = self._facts.now - last.changed_at
        said = f": {last.message}" if last.message else ""
        if any(row.fault == BY_USER for row in past):
            return "a deal was cancelled; `ptolemy deals retry` allows another", 0.0
        if last.fault in _PASSES:
            return (None, 0.0) if age > REST else (f"not tried for a day{said}", 0.0)
        if last.state == DealState.REJECTED:
            return f"refused{said}", 0.0
        if len(past) >= TRIES:
            return f"failed {len(past)} times{said}", 0.0
        return None, max(0.0, DELAYS[len(past) - 1] - age)

    def _renew(self, car: CarRow, deals: Sequence[DealRow], live: Sequence[DealRow]) -> set[str | None]:
        """Renew the deals that end soon; returns the providers that don't, so that others are needed in time."""
        days = self._facts.project.deal_renew_days
        lost: set[str | None] = set()
        if days is None:
            return lost
        until = self._facts.epoch + days * epochs.DAY
        replaced = Counter(row.renews for row in deals if row.live or row.fault == BY_USER)
        by_name = {provider.name: provider for provider in self._facts.providers}
        for row in live:
            ends = row.end_epoch is not None and row.end_epoch <= until
            provider = by_name.get(row.provider or "")
            if row.state != DealState.ACTIVE or not ends or replaced[row.id] or provider is None:
                continue
            if row.project != self._facts.project.name:
                continue
            past = [one for one in deals if one.renews == row.id and not one.live and not one.forgiven]
            reason, wait = self._history(past)
            if reason is None and wait > 0:
                self._plan.waiting.append((car, provider.name, wait))
                continue
            if reason is not None and past[-1].fault not in _PASSES:
                lost.add(row.provider)
            reason = reason or self._take(car, provider, len(past) + 1, row.id)
            if reason is not None:
                said = (provider.name, f"its deal {row.id} ends soon and isn't renewed: {reason}")
                self._plan.short.append(Shortfall(car, 1, (said,)))
        return lost

    def _take(self, car: CarRow, provider: ProviderRow, attempt: int, renews: str = "") -> str | None:
        """Assign a piece to a provider; the reason if that can't be."""
        name, size = provider.name, car.piece_size
        if provider.away_until is not None and provider.away_until > self._facts.now:
            return f"doesn't answer: {provider.away_reason}"
        if provider.max_pending is not None and self._pending[name] >= provider.max_pending:
            return f"has {self._pending[name]} deals on their way, its limit"
        if over_limit(self._pending_bytes[name] + size, provider.max_pending_bytes):
            return "has as many bytes on their way as its limit allows"
        if over_limit(self._total[name] + size, provider.max_total_bytes):
            return "has as many bytes as its limit allows"
        allocation: int | None = None
        if self._facts.allocations is not None:
            found = self._allocation(car, provider)
            if found is None:
                return "no free allocation fits this piece"
            allocation = found.id
        self._pending[name] += 1
        self._pending_bytes[name] += size
        self._total[name] += size
        self._plan.assignments.append(Assignment(car, provider, attempt, allocation, renews))
        return None

    def _allocation(self, car: CarRow, provider: ProviderRow) -> AllocationRow | None:
        """Take a free allocation of a piece at a provider."""
        if car.piece_size < MIN_VERIFIED_PIECE:
            return None
        found = self._free.get((provider.address, car.piece_cid_v1), [])
        for k in range(len(found) - 1, -1, -1):
            if self._fits(found[k], car):
                return found.pop(k)
        return None

    def _fits(self, one: AllocationRow, car: CarRow) -> bool:
        duration = self._facts.project.deal_days * epochs.DAY
        start = self._facts.epoch + (self._facts.project.deal_start_hours or 0) * epochs.DAY // 24
        return (
            one.piece_size == car.piece_size
            and one.client in (None, self._facts.client)
            and (one.term_min or 0) <= duration
            and (one.term_max is None or duration <= one.term_max)
            and (one.expiration is None or start <= one.expiration)
        )


def over_limit(size: int, limit: int | None) -> bool:
    """Whether so many bytes are more than a limit; None is none."""
    return limit is not None and size > limit


def _load(loads: Mapping[str, Load], provider: ProviderRow) -> Load:
    return loads.get(provider.name, Load())


Clock = Callable[[], float]
"""Seconds since 1970."""
