"""The states of a deal, and which may follow which: only forward, and only by evidence.

A provider may report the same state again or an earlier one (its tables are cleaned up, an answer comes late): that
changes nothing. A provider that doesn't answer gives no evidence, so it never gets here.
"""

from enum import StrEnum
from typing import Final


class DealState(StrEnum):
    """Where a deal is."""

    PLANNED = "planned"
    """Recorded with its ID; nothing was sent."""
    SENT = "sent"
    """It was sent or is being sent; the provider hasn't said that it has it."""
    ACCEPTED = "accepted"
    """The provider has the proposal."""
    TRANSFERRING = "transferring"
    """The provider gets the data."""
    SEALING = "sealing"
    """The provider has the data, and puts it into a sector."""
    INDEXING = "indexing"
    """The sector is sealed; the provider indexes the data."""
    ACTIVE = "active"
    """The provider says that it stores the piece and proves it."""
    EXPIRED = "expired"
    """It was active, and its end epoch is past."""
    TERMINATED = "terminated"
    """It was active, and ended before its end epoch."""
    REJECTED = "rejected"
    """The provider refused the proposal."""
    FAILED = "failed"
    """It was accepted, and failed before it was active."""
    CANCELLED = "cancelled"
    """It was given up here before it was active."""


LIVE: Final = (
    DealState.PLANNED,
    DealState.SENT,
    DealState.ACCEPTED,
    DealState.TRANSFERRING,
    DealState.SEALING,
    DealState.INDEXING,
    DealState.ACTIVE,
)
"""The states of a deal that isn't over, in their order."""

_ENDS: Final[dict[DealState, tuple[DealState, ...]]] = {
    DealState.EXPIRED: (DealState.ACTIVE,),
    DealState.TERMINATED: (DealState.ACTIVE,),
    DealState.REJECTED: (DealState.PLANNED, DealState.SENT),
    DealState.FAILED: LIVE[1:-1],
    DealState.CANCELLED: LIVE[:-1],
}
"""The states in which a deal is over, and those they may follow."""


def is_over(state: DealState) -> bool:
    """Whether a deal stays in this state for good."""
    return state in _ENDS


def may_follow(current: DealState, new: DealState) -> bool:
    """Whether a deal may go from one state to another one."""
    if new in _ENDS:
        return current in _ENDS[new]
    return current in LIVE and LIVE.index(new) > LIVE.index(current)


def advance(current: DealState, seen: DealState) -> DealState:
    """The state of a deal after its provider was seen to report one: the new one, or the old one if it is older.

    A failure that is reported of an active deal means that it was terminated.
    """
    if current == DealState.ACTIVE and seen == DealState.FAILED:
        return DealState.TERMINATED
    return seen if may_follow(current, seen) else current
