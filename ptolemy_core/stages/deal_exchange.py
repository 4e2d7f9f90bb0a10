"""One provider in one round: what is sent to it and asked, and what its answers do to its deals.

A state goes forward only on the provider's word. No answer, and whatever is wrong on our side, changes none.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ptolemy_core import epochs
from ptolemy_core.catalog import deals, providers
from ptolemy_core.catalog.deals import Change, DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.deals import DealState, Engine, Fault, Report, advance
from ptolemy_core.deals.states import is_over
from ptolemy_core.errors import (
    DealError,
    DealRefusedError,
    DealUnknownError,
    EncryptionError,
    ProposalError,
    ProviderAuthError,
    ProviderAwayError,
    PtolemyError,
    SettingsError,
)
from ptolemy_core.project import Project
from ptolemy_core.stages import deal_upload
from ptolemy_core.stages.deal import ends, network_of_deal
from ptolemy_core.stages.deal_plan import DELAYS, GAVE_UP, TRIES, is_stuck
from ptolemy_core.stages.deal_proposal import proposal_of, question_of, require_source

if TYPE_CHECKING:  # it imports this module
    from ptolemy_core.stages.deal_round import Round

_LOST: Final = 3
"""How often in a row a provider must deny that it has a deal until that is believed."""


class _Left(Exception):
    """The provider is left alone for the rest of the round."""


class Exchange:
    """One provider in one round."""

    def __init__(self, whole: "Round", provider: ProviderRow, engine: Engine) -> None:
        self._whole = whole
        self._provider = provider
        self._engine = engine
        self._next = 0.0
        self._answered = False
        self._wallets: dict[str | None, PtolemyError] = {}  # that can't be had in this round
        self._unsendable = _why_unsendable(whole.project)

    def deal_with(self, rows: Sequence[DealRow]) -> bool:
        """Send and ask for some deals; False: the provider is to be left alone."""
        rows = [row for row in rows if row.state != DealState.PLANNED or self._is_sendable(row)]
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

    def _is_sendable(self, row: DealRow) -> bool:
        """Whether a proposal has its URLs; what they lack is told."""
        if self._unsendable is None or row.transfer != "pull":
            return True
        self._whole.problem(self._provider, self._unsendable)
        return False

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
        now = self._whole.rounds.now()
        if row.wallet in self._wallets:
            return self._ours(row, self._wallets[row.wallet], now)
        asked = True
        try:
            report = self._ask(row, first)
            self._answered = True
        except ProposalError as error:
            asked = False
            if not first or error.fault == Fault.BAD_CLIENT:
                # it may have arrived, and what is wrong may be here: only the provider can say
                return self._ours(row, error, now)
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
        except (EncryptionError, SettingsError) as error:
            asked = False
            self._wallets[row.wallet] = error
            return self._ours(row, error, now)
        finally:
            if asked:
                self._whole.asked()
        change = self._reported(row, report, now)
        return self._upload(change, changes) if deal_upload.is_due(row, report) else change

    def _upload(self, change: Change, changes: list[Change]) -> Change:
        """Upload the piece of an accepted deal. What its provider said is recorded first: an upload takes long."""
        self._whole.record([change])
        row = replace(
            change.deal, state=change.state, message=change.message, fault=change.fault, **change.values
        )
        proposal = question_of(row, self._provider)
        try:
            deal_upload.upload(self._engine, proposal, self._whole.stored(row))
        except (DealRefusedError, DealUnknownError) as error:
            return self._unanswered(row, error, self._whole.rounds.now())
        except (ProviderAwayError, ProviderAuthError) as error:
            changes.append(self._unanswered(row, error, self._whole.rounds.now()))
            self._whole.away(self._provider, error)
            raise _Left from None
        except DealError as error:
            return self._ours(row, error, self._whole.rounds.now())
        return Change(row, row.state, True, row.message, row.fault)

    def _ask(self, row: DealRow, first: bool) -> Report:
        if row.state != DealState.SENT or is_stuck(row) or not (first or self._is_sendable(row)):
            return self._engine.status(question_of(row, self._provider))
        proposal = proposal_of(row, self._provider, self._whole.project)
        return self._engine.propose(proposal, sent=not first)

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
        if current == DealState.SENT and not self._is_sendable(row):
            return _later(row, now)
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

    def _ours(self, row: DealRow, error: PtolemyError, now: float) -> Change:
        """Something is wrong on our side, which says nothing of the deal and is no try: a person is told."""
        self._whole.problem(self._provider, error)
        return _later(row, now, DELAYS[1])

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
        return _later(row, now, wait)

    def _wait(self) -> None:
        """Keep to the rate of the provider."""
        now = time.monotonic()
        if now < self._next:
            self._whole.rounds.pause(self._next - now)
        self._next = max(now, self._next) + 1 / max(self._provider.rate, 0.01)


def _later(row: DealRow, now: float, wait: float = DELAYS[0]) -> Change:
    """A deal stays as it is, and is due again later."""
    return Change(row, row.state, True, row.message, row.fault, {"next_at": now + wait})


def _why_unsendable(project: Project) -> SettingsError | None:
    """What the URLs lack that a project's pieces are pulled from."""
    try:
        require_source(project)
    except SettingsError as error:
        return error
    return None
