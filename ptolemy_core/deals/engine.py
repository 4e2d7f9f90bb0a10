"""The protocol that every deal engine speaks, and what it answers with.

An engine keeps nothing: it is given a proposal, speaks to a provider, and reports. docs/deals.md shows a whole one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ptolemy_core.deals.faults import Fault, Problem
from ptolemy_core.deals.proposal import Offline, Proposal, Provider, Pull, Push, check_allocated, refuse
from ptolemy_core.deals.states import DealState


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a deal after asking.

    Attributes:
        state: that the provider's answer is evidence of.
        message: the provider's own words, without secrets, for the deal's history.
    """

    state: DealState
    message: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an engine, or a provider by it, takes.

    Attributes:
        sources: kinds of source.
        largest_piece: padded bytes; None where that isn't known.
        verified: whether deals with an allocation are possible.
        needs_url: whether the provider must have a URL.
    """

    sources: frozenset[type[Pull] | type[Push] | type[Offline]]
    largest_piece: int | None = None
    verified: bool = True
    needs_url: bool = True

    def problems(self, proposal: Proposal) -> Iterator[Problem]:
        """Why a proposal, right in itself, isn't taken."""
        yield from check_allocated(proposal)
        if type(proposal.source) not in self.sources:
            kinds = ", ".join(sorted(kind.__name__.lower() for kind in self.sources)) or "none"
            yield Problem(
                Fault.NOT_ACCEPTED,
                f"provider {proposal.provider.address} takes sources of the kind {kinds}, not "
                f"{type(proposal.source).__name__.lower()}",
            )
        if self.largest_piece is not None and proposal.piece.piece_size > self.largest_piece:
            yield Problem(
                Fault.PIECE_TOO_LARGE,
                f"provider {proposal.provider.address} takes pieces of at most {self.largest_piece} padded bytes, "
                f"{proposal.piece.cid} has {proposal.piece.piece_size}",
            )
        if proposal.conditions.verified and not self.verified:
            yield Problem(
                Fault.BAD_ALLOCATION,
                f"provider {proposal.provider.address} takes no deals with an allocation",
            )
        if self.needs_url and not proposal.provider.url:
            yield Problem(Fault.BAD_PROVIDER, f"provider {proposal.provider.address} needs a URL: set one")

    def check(self, proposal: Proposal) -> None:
        """Refuse a proposal that is wrong in itself or isn't taken.

        Raises:
            ProposalError: it is.
        """
        proposal.check()
        refuse(proposal, list(self.problems(proposal)))


class Engine(Protocol):
    """A way to make deals.

    All three methods may be called from any thread, and again at any time. None of them changes what the deal is: the
    same proposal with the same ID is the same deal.
    """

    @property
    def name(self) -> str:
        """Its name in settings and the catalog."""

    def accepts(self, provider: Provider, wallet: str) -> Terms:
        """What a provider takes now, asked in the name of a wallet's alias.

        Raises:
            ProviderAwayError: it doesn't answer.
            DealError: it doesn't talk to this wallet, or answers with something else.
        """

    def propose(self, proposal: Proposal, *, sent: bool) -> Report:
        """Propose a deal that is recorded already.

        Args:
            proposal: what to propose.
            sent: whether it may have been sent before: then the provider is asked for its status first.

        Raises:
            ProposalError: it is wrong; nothing was sent.
            DealRefusedError: the provider refused it.
            DealUnknownError: it may or may not have arrived: call again with `sent`.
            ProviderAwayError: it certainly didn't arrive: try later.
            ProviderAuthError: the clock or the wallet is wrong.
        """

    def status(self, proposal: Proposal) -> Report:
        """What the provider says of a deal. The proposal's URLs may be missing: they aren't sent.

        Raises:
            ProposalError: the wallet isn't that of the deal's client (`fault` is bad-client); nothing was asked.
            DealRefusedError: the provider has no such deal (`fault` is unknown-deal).
            ProviderAwayError: it doesn't answer: that says nothing of the deal.
            ProviderAuthError: the clock or the wallet is wrong.
        """
