"""The engine `manual`: an operator makes the deals with other tools, and tells Ptolemy by commands how they go.

It exports what those tools need: commands for Boost's `boost offline-deal` and `boostd import-data`, and tables of
pieces for anything else.
"""

import csv
import io
import json
import shlex
from collections.abc import Iterable, Iterator

from ptolemy_core.deals.engine import Report, Terms
from ptolemy_core.deals.faults import Fault
from ptolemy_core.deals.proposal import Offline, Piece, Proposal, Provider, Pull, Push
from ptolemy_core.deals.states import DealState, may_follow
from ptolemy_core.errors import DealError, ProposalError

COLUMNS = ("piece_cid", "piece_cid_v1", "piece_size", "car_size", "payload_cid", "file_name")
"""Columns of a table of pieces."""


class ManualEngine:
    """The engine `manual`: it sends nothing, so a deal is in the state that it was set to."""

    name = "manual"

    def accepts(self, provider: Provider, wallet: str) -> Terms:
        """Everything: the operator knows what the provider takes."""
        return Terms(frozenset((Pull, Push, Offline)), needs_url=False)

    def propose(self, proposal: Proposal, *, sent: bool) -> Report:
        """Check a proposal, and leave the rest to the operator; see `Engine`."""
        self.accepts(proposal.provider, proposal.wallet).check(proposal)
        return Report(DealState.SENT, "an operator makes this deal with other tools, and sets its state")

    def status(self, proposal: Proposal) -> Report:
        """Nothing new: states are set by command, so this is no evidence of more than `sent`."""
        return Report(DealState.SENT, "")


def set_state(current: DealState, new: DealState) -> DealState:
    """The state that an operator sets, which must follow the current one.

    Raises:
        DealError: it can't.
    """
    if not may_follow(current, new):
        following = ", ".join(state for state in DealState if may_follow(current, state))
        raise DealError(
            f"a deal that is {current} can't become {new}: "
            + (f"it can become {following}" if following else "it is over; make a new deal"),
            Fault.OTHER,
        )
    return new


def boost_deal(proposal: Proposal) -> str:
    """The command by which a client of Boost proposes an offline deal; it prints the deal's UUID.

    Raises:
        ProposalError: the proposal is wrong, or lacks the payload CID.
    """
    proposal.check()
    if not proposal.piece.payload_cid:
        raise ProposalError(
            f"boost offline-deal needs the payload CID of {proposal.piece.cid}: build its CAR first",
            Fault.BAD_PIECE,
        )
    conditions = proposal.conditions
    words = [
        "boost",
        "offline-deal",
        f"--provider={proposal.provider.address}",
        f"--commp={proposal.piece.cid_v1}",
        f"--piece-size={proposal.piece.piece_size}",
        f"--payload-cid={proposal.piece.payload_cid}",
        f"--duration={conditions.duration}",
        f"--verified={'true' if conditions.verified else 'false'}",
        f"--wallet={proposal.client}",
    ]
    if conditions.start_epoch is not None:
        words.append(f"--start-epoch={conditions.start_epoch}")
    return shlex.join(words)


def boost_import(uuid: str, path: str) -> str:
    """The command by which a provider imports the CAR of an offline deal.

    Args:
        uuid: that `boost offline-deal` printed.
        path: of the CAR at the provider.
    """
    return shlex.join(["boostd", "import-data", "--", uuid, path])


def pieces_csv(pieces: Iterable[Piece]) -> str:
    """A table of pieces as CSV (RFC 4180), its first line the columns' names."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(COLUMNS)
    table.writerows(row.values() for row in _rows(pieces))
    return text.getvalue()


def pieces_json(pieces: Iterable[Piece]) -> str:
    """A table of pieces as JSON: a list of objects, sizes as numbers."""
    return json.dumps(list(_rows(pieces)), indent=2) + "\n"


def _rows(pieces: Iterable[Piece]) -> Iterator[dict[str, str | int]]:
    for piece in pieces:
        values = (
            piece.cid,
            piece.cid_v1,
            piece.piece_size,
            piece.size,
            piece.payload_cid,
            f"{piece.cid_v1}.car",
        )
        yield dict(zip(COLUMNS, values, strict=True))
