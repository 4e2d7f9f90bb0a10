"""One round of a project's deals: what is planned is sent, and providers are asked for the others that are due.

A thread for each provider, which sends no faster than the provider allows; a provider that doesn't answer is left
alone for the rest of the round and changes no state. Before a proposal is sent, `sent` is recorded.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ptolemy_core import epochs
from ptolemy_core.catalog import deals, projects, providers, stored_cars
from ptolemy_core.catalog.deals import Change, DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.deals import DealState, Engine, Fault, Proposal, Report, advance
from ptolemy_core.deals.engines import Engines
from ptolemy_core.deals.states import is_over
from ptolemy_core.errors import (
    DealError,
    DealRefusedError,
    DealUnknownError,
    ProposalError,
    ProviderAuthError,
    ProviderAwayError,
    PtolemyError,
)
from ptolemy_core.project import Project
from ptolemy_core.stages import deal_upload
from ptolemy_core.stages.deal import ends, is_past, network_of_deal
from ptolemy_core.stages.deal_plan import DELAYS, GAVE_UP, TRIES, Clock, is_stuck
from ptolemy_core.stages.deal_proposal import proposal_of
from ptolemy_core.staging.stored import StoredCar

_AT_ONCE: Final = 20
"""Deals that are recorded together."""

_THREADS: Final = 32
_AWAY_FOR: Final = (60.0, 300.0, 900.0)
"""Seconds after which a provider that doesn't answer is asked again: growing, by how long it has been away."""

_GIVE_UP: Final = 3600.0
"""Seconds that a provider must be away until what was never sent to it is given up, and another one gets it."""

_LOST: Final = 3
"""How often in a row a provider must deny that it has a deal until that is believed."""


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
        one = _Round(catalog, project, rounds, everything)
        known = providers.rows(catalog, sorted(by_provider))
        with ThreadPoolExecutor(min(_THREADS, len(known)) or 1) as pool:
            for each in [pool.submit(one.run, provider, by_provider[provider.name]) for provider in known]:
                each.result()
        return one.result


class _Round:
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
            each = _Provider(self, provider, engine)
            for low in range(0, len(rows), _AT_ONCE):
                part = rows[low : low + _AT_ONCE]
                if provider.engine == deals.MANUAL:
                    part = [row for row in part if row.state == DealState.PLANNED]
                if not each.deal_with(part):
                    return
        except PtolemyError as error:
            with self._lock:
                self.result.problems.append(f"provider {provider.name}: {error}")

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


class _Left(Exception):
    """The provider is left alone for the rest of the round."""


class _Provider:
    """One provider in one round."""

    def __init__(self, whole: _Round, provider: ProviderRow, engine: Engine) -> None:
        self._whole = whole
        self._provider = provider
        self._engine = engine
        self._next = 0.0
        self._answered = False

    def deal_with(self, rows: Sequence[DealRow]) -> bool:
        """Send and ask for some deals; False: the provider is to be left alone."""
        was = [row.state == DealState.PLANNED for row in rows]
        rows = self._mark_sent(rows)
        changes: list[Change] = []
        left = False
        try:
            for row, first in zip(rows, was, strict=True):
                self._wait()
                # one that would be sent may have been cancelled meanwhile; asking for one does no harm
                if row.state != DealState.SENT or deals.is_live(self._whole.catalog, row.id):
                    changes.append(self._one(row, first, changes))
        except _Left:
            left = True
        finally:
            self._whole.record(changes)
        if changes and self._answered and self._provider.away_since is not None:
            providers.set_back(self._whole.catalog, self._provider.name)
            self._provider = replace(self._provider, away_since=None, away_until=None)
        return not left

    def _mark_sent(self, rows: Sequence[DealRow]) -> list[DealRow]:
        """Record that the planned ones are being sent, with the start epoch that they are sent with."""
        now = self._whole.rounds.now()
        changes: dict[str, Change] = {}
        for row in rows:
            if row.state == DealState.PLANNED:
                values: dict[str, Any] = {}
                if row.start_hours is not None:
                    start = epochs.epoch_of(now, network_of_deal(row)) + row.start_hours * epochs.DAY // 24
                    values = {"start_epoch": start}
                changes[row.id] = Change(row, DealState.SENT, True, values=values)
        self._whole.record(list(changes.values()))
        return [
            replace(row, state=DealState.SENT, **changes[row.id].values) if row.id in changes else row
            for row in rows
        ]

    def _one(self, row: DealRow, first: bool, changes: list[Change]) -> Change:
        """Send or ask for one deal."""
        self._whole.asked()
        now = self._whole.rounds.now()
        try:
            proposal = proposal_of(row, self._provider, self._whole.project)
            report = self._ask(proposal, row, first)
            self._answered = True
        except ProposalError as error:
            if not first:  # it may have arrived, and what is wrong may be here: only the provider can say
                return self._unanswered(row, error, now)
            return Change(
                row, advance(DealState(row.state), DealState.REJECTED), False, str(error), error.fault
            )
        except DealRefusedError as error:
            self._answered = True
            return self._refused(row, error, now)
        except DealUnknownError as error:
            return self._unanswered(row, error, now)
        except (ProviderAwayError, ProviderAuthError) as error:
            changes.append(self._unanswered(row, error, now))
            self._whole.away(self._provider, error)
            raise _Left from None
        except DealError as error:
            return self._unanswered(row, error, now)
        return self._reported(row, report, now)

    def _ask(self, proposal: Proposal, row: DealRow, first: bool) -> Report:
        if row.state != DealState.SENT or is_stuck(row):
            report = self._engine.status(proposal)
        else:
            report = self._engine.propose(proposal, sent=not first)
        if deal_upload.is_due(row, report):
            deal_upload.upload(self._engine, proposal, self._whole.stored(row))
        return report

    def _reported(self, row: DealRow, report: Report, now: float) -> Change:
        current = DealState(row.state)
        state = advance(current, report.state)
        values: dict[str, Any] = {
            "next_at": self._whole.rounds.pace.after(row, state, now),
            "checked_at": now,
            "tries": 0,
        }
        values |= ends(row, state, now)
        fault = Fault.OTHER if state in (DealState.FAILED, DealState.TERMINATED) else None
        return Change(row, state, not is_over(state), report.message, fault, values)

    def _refused(self, row: DealRow, error: DealRefusedError, now: float) -> Change:
        """The provider refused a proposal, or says that it doesn't have a deal."""
        current = DealState(row.state)
        if current == DealState.SENT and is_stuck(row):
            if row.tries + 1 < TRIES + _LOST:
                return self._unanswered(row, error, now)
            return Change(row, DealState.CANCELLED, False, f"it never arrived: {error}", GAVE_UP)
        if current == DealState.SENT and error.fault != Fault.UNKNOWN_DEAL:
            return Change(row, DealState.REJECTED, False, str(error), error.fault)
        lost = error.fault == Fault.UNKNOWN_DEAL and row.tries + 1 >= _LOST
        if lost and current not in (DealState.ACTIVE, DealState.SENT):
            return Change(row, DealState.FAILED, False, str(error), error.fault)
        return self._unanswered(row, error, now)

    def _unanswered(self, row: DealRow, error: DealError, now: float) -> Change:
        """Nothing is known of a deal by that: it stays in its state."""
        overloaded = error.fault == Fault.OVERLOADED
        tries = row.tries + (not overloaded and not isinstance(error, ProviderAuthError))
        wait = DELAYS[min(max(tries, 1), TRIES) - 1]
        if isinstance(error, ProviderAwayError) and error.retry_after is not None:
            wait = max(error.retry_after, 1.0)
        elif overloaded:
            wait = DELAYS[0]
        if row.state == DealState.SENT or isinstance(error, DealRefusedError):
            return Change(
                row, row.state, True, str(error), error.fault, {"next_at": now + wait, "tries": tries}
            )
        return Change(row, row.state, True, row.message, row.fault, {"next_at": now + wait})

    def _wait(self) -> None:
        """Keep to the rate of the provider."""
        now = time.monotonic()
        if now < self._next:
            self._whole.rounds.pause(self._next - now)
        self._next = max(now, self._next) + 1 / max(self._provider.rate, 0.01)
