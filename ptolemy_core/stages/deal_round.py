"""One round of a project's deals: what is planned is sent, and providers are asked for the others that are due.

A thread for each provider, which sends no faster than the provider allows; a provider that doesn't answer is left
alone for the rest of the round and changes no state. Before a proposal is sent, `sent` is recorded.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from ptolemy_core.catalog import deals, projects, providers, stored_cars
from ptolemy_core.catalog.deals import Change, DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.deals import DealState
from ptolemy_core.deals.engines import Engines
from ptolemy_core.deals.states import is_over
from ptolemy_core.errors import (
    ProviderAuthError,
    ProviderAwayError,
    PtolemyError,
)
from ptolemy_core.project import Project
from ptolemy_core.stages.deal import is_past
from ptolemy_core.stages.deal_exchange import Exchange
from ptolemy_core.stages.deal_plan import GAVE_UP, Clock
from ptolemy_core.staging.stored import StoredCar

_AT_ONCE: Final = 20
"""Deals that are recorded together."""

_THREADS: Final = 32
_AWAY_FOR: Final = (60.0, 300.0, 900.0)
"""Seconds after which a provider that doesn't answer is asked again: growing, by how long it has been away."""

_GIVE_UP: Final = 3600.0
"""Seconds that a provider must be away until what was never sent to it is given up, and another one gets it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often deals are asked for.

    Attributes:
        shortest, longest: seconds between two questions for a deal that is on its way; in between, a fifth of the
            time that it has been in its state.
        active: seconds between two questions for an active deal.
    """

    shortest: float = 60.0
    longest: float = 3600.0
    active: float = 86_400.0

    def after(self, row: DealRow, state: DealState, now: float) -> float:
        """When a deal that is in a state is due again."""
        if is_over(state):
            return now
        if state == DealState.ACTIVE:
            return now + self.active
        age = 0.0 if state != row.state else now - row.changed_at
        return now + min(max(self.shortest, age / 5), self.longest)


@dataclass(slots=True)
class RoundResult:
    """What one round did.

    Attributes:
        asked: deals that were sent or asked for.
        moved: how many came into each state.
        away: providers that don't answer, with what was seen.
        problems: what a person has to look after.
    """

    asked: int = 0
    moved: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    away: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rounds:
    """What rounds are made with.

    Attributes:
        engines: gives an engine by its name.
        pace: how often deals are asked for.
        now: the time.
        pause: waits so many seconds.
    """

    engines: Engines
    pace: Pace = Pace()
    now: Clock = time.time
    pause: Callable[[float], None] = time.sleep


def make_round(catalog: Catalog, name: str, rounds: Rounds, *, everything: bool = False) -> RoundResult:
    """Send and ask for the deals of a project that are due.

    Args:
        catalog: where they are.
        name: the project's.
        rounds: what is used.
        everything: ask for all live deals, also those that aren't due, and providers that are left alone.

    Raises:
        UnknownProjectError, BusyError: no such project; its deals are dealt with elsewhere.
    """
    project = projects.get(catalog, name)
    with catalog.lock(f"deals {name}", busy=f"deals of {name!r} are being made elsewhere: wait for that"):
        now = rounds.now()
        due = deals.select(catalog, project=name, live=True, due=None if everything else now)
        by_provider: dict[str, list[DealRow]] = defaultdict(list)
        for row in due:
            by_provider[row.provider or ""].append(row)
        one = Round(catalog, project, rounds, everything)
        known = providers.rows(catalog, sorted(by_provider))
        with ThreadPoolExecutor(min(_THREADS, len(known)) or 1) as pool:
            for each in [pool.submit(one.run, provider, by_provider[provider.name]) for provider in known]:
                each.result()
        return one.result


class Round:
    """One round; its methods run in a thread for each provider."""

    def __init__(self, catalog: Catalog, project: Project, rounds: Rounds, everything: bool) -> None:
        self._catalog = catalog
        self._project = project
        self._rounds = rounds
        self._everything = everything
        self._lock = threading.Lock()  # one writer at a time: more only wait for each other
        self.result = RoundResult()

    def run(self, provider: ProviderRow, rows: Sequence[DealRow]) -> None:
        """Deal with all rows of one provider."""
        now = self._rounds.now()
        if provider.away_since is not None and now - provider.away_since > _GIVE_UP:
            rows = self._given_up(provider, rows)
        rows = self._expired(rows, now)
        if provider.away_until is not None and provider.away_until > now and not self._everything:
            self.result.away[provider.name] = provider.away_reason or ""
            return
        try:
            engine = self._rounds.engines(provider.engine)
            each = Exchange(self, provider, engine)
            for low in range(0, len(rows), _AT_ONCE):
                part = rows[low : low + _AT_ONCE]
                if provider.engine == deals.MANUAL:
                    part = [row for row in part if row.state == DealState.PLANNED]
                if not each.deal_with(part):
                    return
        except PtolemyError as error:
            self.problem(provider, error)

    def problem(self, provider: ProviderRow, error: PtolemyError) -> None:
        """Tell a person of something that is wrong on our side, once."""
        text = f"provider {provider.name}: {error}"
        with self._lock:
            if text not in self.result.problems:
                self.result.problems.append(text)

    def _given_up(self, provider: ProviderRow, rows: Sequence[DealRow]) -> list[DealRow]:
        """Give up what was never sent to a provider that has been away for long."""
        message = f"never sent: the provider doesn't answer ({provider.away_reason})"
        planned = [row for row in rows if row.state == DealState.PLANNED]
        self.record([Change(row, DealState.CANCELLED, False, message, GAVE_UP) for row in planned])
        return [row for row in rows if row.state != DealState.PLANNED]

    def _expired(self, rows: Sequence[DealRow], now: float) -> list[DealRow]:
        """End the deals whose last epoch is past."""
        over: list[DealRow] = []
        left: list[DealRow] = []
        for row in rows:
            ended = row.state == DealState.ACTIVE and is_past(row, now)
            (over if ended else left).append(row)
        self.record([Change(row, DealState.EXPIRED, False, "its end epoch is past") for row in over])
        return left

    def record(self, changes: Sequence[Change]) -> None:
        """Write changes, and count them; that something is being sent doesn't count."""
        with self._lock:
            deals.record(self._catalog, changes, self._rounds.now())
            for change in changes:
                if change.state not in (change.deal.state, DealState.SENT):
                    self.result.moved[change.state] += 1

    def stored(self, row: DealRow) -> list[StoredCar]:
        """The CARs with the piece of a deal: of its project before others."""
        found = stored_cars.by_piece(self._catalog, row.piece_cid_v2)
        return sorted(found, key=lambda one: one.project != row.project)

    @property
    def rounds(self) -> Rounds:
        return self._rounds

    @property
    def project(self) -> Project:
        return self._project

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def asked(self) -> None:
        """Count a deal that was sent or asked for."""
        with self._lock:
            self.result.asked += 1

    def away(self, provider: ProviderRow, error: ProviderAwayError | ProviderAuthError) -> None:
        """Leave a provider alone for a while."""
        now = self._rounds.now()
        away_for = now - (provider.away_since or now)
        wait = next((step for step in _AWAY_FOR if away_for < 3 * step), _AWAY_FOR[-1])
        if isinstance(error, ProviderAwayError) and error.retry_after is not None:
            wait = error.retry_after
        with self._lock:
            providers.set_away(self._catalog, provider.name, now + wait, str(error))
            self.result.away[provider.name] = str(error)
