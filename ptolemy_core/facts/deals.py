"""Deals and storage providers."""

from typing import Self

from ptolemy_core import epochs
from ptolemy_core.address import Network
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.catalog.deals import DealRow, StateRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.commp import parse_piece_cid, piece_cid_v1
from ptolemy_core.dag import cid
from ptolemy_core.facts.fields import Facts, Moment, Unit, field, moment, moment_or_none


class DealFacts(Facts):
    """A deal with one provider about one piece."""

    id: str = field("deal", "Its ID, a ULID.")
    project: str = field("project", "Name of the project that it was made for.")
    piece_cid: str = field("piece CID", "Piece CID v1, baga6ea4seaq….", Unit.CID)
    piece_cid_v2: str = field("piece CID v2", "Piece CID v2 (FRC-0069), bafkzcib….", Unit.CID)
    payload_cid: str = field("payload CID", "Root of the CAR.", Unit.CID)
    piece_size: int = field("piece size", "Bytes of the padded piece.", Unit.BYTES)
    provider: str = field("provider", "Name of the provider; empty: the CAR is marked as delivered by hand.")
    engine: str = field("engine", "How the deal is made: curio or manual.")
    state: str = field("state", "Where it is; docs/deals.md lists the states.")
    live: bool = field("live", "Whether it isn't over.")
    wallet: str | None = field("wallet", "Alias of the wallet that proposes it.")
    client: str | None = field("client", "That wallet's address.")
    transfer: str = field("transfer", "pull, push or offline.")
    days: float | None = field("days", "How long it lasts.")
    start_epoch: int | None = field("start epoch", "When it must have started; null: the provider chooses.")
    end_epoch: int | None = field("end epoch", "The earliest epoch at which it can end; null: not known yet.")
    ends_at: Moment | None = field("ends", "When that is.")
    allocation_id: int | None = field("allocation", "ID of the allocation that it uses.")
    renews: str | None = field("renews", "ID of the deal that it renews.")
    attempt: int = field("attempt", "Its number among the deals of this piece with this provider, from 1.")
    tries: int = field("tries", "How often it was sent without an answer.")
    created_at: Moment = field("made", "When it was recorded.")
    changed_at: Moment = field("since", "When it came into this state.")
    checked_at: Moment | None = field("asked", "When its provider last told how it is.")
    fault: str | None = field("fault", "What is wrong with it, a code of docs/deals.md.")
    message: str = field("message", "What was last said of it.")

    @classmethod
    def of(cls, row: DealRow, **more: object) -> Self:
        """A row of the catalog; `more` are the fields that a derived model has besides."""
        network: Network = "calibration" if (row.client or "").startswith("t") else "mainnet"
        return cls(
            id=row.id,
            project=row.project,
            piece_cid=cid.to_text(piece_cid_v1(parse_piece_cid(row.piece_cid_v2).root)),
            piece_cid_v2=cid.to_text(row.piece_cid_v2),
            payload_cid=cid.to_text(row.payload_cid),
            piece_size=row.piece_size,
            provider=row.provider or "",
            engine=row.engine,
            state=row.state,
            live=row.live,
            wallet=row.wallet,
            client=row.client,
            transfer=row.transfer,
            days=None if row.duration is None else row.duration / epochs.DAY,
            start_epoch=row.start_epoch,
            end_epoch=row.end_epoch,
            ends_at=None if row.end_epoch is None else epochs.time_of(row.end_epoch, network),
            allocation_id=row.allocation_id,
            renews=row.renews or None,
            attempt=row.attempt,
            tries=row.tries,
            created_at=moment(row.created_at),
            changed_at=moment(row.changed_at),
            checked_at=moment_or_none(row.checked_at),
            fault=row.fault,
            message=row.message,
            **more,
        )


class DealStateFacts(Facts):
    """An entry of a deal's history."""

    state: str = field("state", "The deal's state from then on.")
    at: Moment = field("when", "When it was recorded.")
    fault: str | None = field("fault", "What was wrong, a code of docs/deals.md.")
    message: str = field("message", "What was said, without secrets.")


class DealHistoryFacts(DealFacts):
    """A deal, and all that it went through."""

    history: list[DealStateFacts] = field("history", "Its states and what was said, the first one first.")

    @classmethod
    def with_history(cls, row: DealRow, history: list[StateRow]) -> Self:
        """A row of the catalog and its history."""
        told = [
            DealStateFacts(state=one.state, at=moment(one.at), fault=one.fault, message=one.message)
            for one in history
        ]
        return cls.of(row, history=told)


class PlannedDealFacts(Facts):
    """A deal that a plan makes."""

    container: int = field("CAR", "Number of the CAR's container.", Unit.CONTAINER)
    piece_cid_v2: str = field("piece CID v2", "Of the piece.", Unit.CID)
    piece_size: int = field("piece size", "Bytes of the padded piece.", Unit.BYTES)
    provider: str = field("provider", "Name of the provider that gets it.")
    attempt: int = field("attempt", "Its number at this provider, from 1.")
    allocation_id: int | None = field("allocation", "ID of the allocation that it uses.")
    renews: str | None = field("renews", "ID of the deal that it renews.")


class ShortPieceFacts(Facts):
    """A piece that can't get all its replicas now."""

    container: int = field("CAR", "Number of the CAR's container.", Unit.CONTAINER)
    piece_cid_v2: str = field("piece CID v2", "Of the piece.", Unit.CID)
    missing: int = field("missing", "Replicas for which there is no provider.")
    reasons: list[str] = field("reasons", "Why, for each provider.")


class DealPlanFacts(Facts):
    """Which deals a project needs."""

    project: str = field("project", "Name of the project.")
    pieces: int = field("pieces", "Pieces of the project.")
    wanted: int = field("wanted", "Active deals that are wanted: pieces times replicas.")
    active: int = field("active", "Those that there are.")
    on_the_way: int = field("on the way", "Deals that aren't active yet.")
    deals: list[PlannedDealFacts] = field("deals", "Deals to make.")
    short: list[ShortPieceFacts] = field("short", "Pieces without enough providers.")
    waiting: int = field("waiting", "Pieces that a provider gets again later, after a failure.")


class DealRoundFacts(Facts):
    """What one round of sending and asking did."""

    project: str = field("project", "Name of the project.")
    asked: int = field("asked", "Deals that were sent or asked for.")
    moved: dict[str, int] = field("moved", "How many deals came into each state.")
    away: dict[str, str] = field("away", "Providers that don't answer, with what was seen.")
    problems: list[str] = field("problems", "What a person has to look after.")


class MadeDealsFacts(Facts):
    """What `ptolemy deals make` did."""

    plan: DealPlanFacts = field("plan", "What was planned, and recorded.")
    round: DealRoundFacts = field("round", "What was sent and asked for.")


class ProviderFacts(Facts):
    """A storage provider."""

    name: str = field("provider", "By which projects name it.")
    engine: str = field("engine", "That speaks to it: curio or manual.")
    network: str = field("network", "mainnet or calibration.")
    address: str = field("address", "Its actor, such as f01234.")
    url: str = field("URL", "Of its HTTP API.")
    plain_http: bool = field("plain HTTP", "Whether http:// is fine although it isn't this machine.")
    retrieval_url: str | None = field("retrieval URL", "Template of where a piece can be fetched from it.")
    max_pending: int | None = field("most pending", "Deals that may be on their way at once.")
    max_pending_bytes: int | None = field("most bytes pending", "Padded bytes of those.", Unit.BYTES)
    max_total_bytes: int | None = field("most bytes", "Padded bytes that it may have in all.", Unit.BYTES)
    rate: float = field("rate", "Requests a second.")
    pending: int = field("pending", "Deals that are on their way.")
    pending_bytes: int = field("bytes pending", "Padded bytes of those.", Unit.BYTES)
    total_bytes: int = field("bytes", "Padded bytes of all its live deals.", Unit.BYTES)
    away_since: Moment | None = field("away since", "Since when it doesn't answer; null: it does.")
    away_until: Moment | None = field("asked again", "When it is asked next.")
    away_reason: str | None = field("reason", "What was seen.")

    @classmethod
    def of(cls, row: ProviderRow, load: Load) -> Self:
        """A row of the catalog, and what the provider has."""
        return cls(
            name=row.name,
            engine=row.engine,
            network=row.network,
            address=row.address,
            url=row.url,
            plain_http=row.plain_http,
            retrieval_url=row.retrieval_url,
            max_pending=row.max_pending,
            max_pending_bytes=row.max_pending_bytes,
            max_total_bytes=row.max_total_bytes,
            rate=row.rate,
            pending=load.pending,
            pending_bytes=load.pending_bytes,
            total_bytes=load.total_bytes,
            away_since=moment_or_none(row.away_since),
            away_until=moment_or_none(row.away_until),
            away_reason=row.away_reason,
        )


class CheckedProviderFacts(Facts):
    """What a provider takes now."""

    name: str = field("provider", "Its name.")
    ok: bool = field("ok", "Whether deals can be made with it.")
    sources: list[str] = field("takes", "pull, push, offline: how it takes pieces.")
    message: str = field("message", "What is wrong, or empty.")


class ReplicationFacts(Facts):
    """How far a project's replicas are."""

    project: str = field("project", "Name of the project.")
    replicas: int | None = field("replicas", "Active deals that each piece must have; null: none are wanted.")
    pieces: int = field("pieces", "Pieces of the project.")
    replicated: int = field("replicated", "Pieces with enough active deals.")
    active: int = field("active", "Active deals, at most one for each piece and provider.")
    on_the_way: int = field("on the way", "Deals that aren't active yet.")
    missing: list[str] = field("missing", "Piece CIDs v2 of the first pieces without enough.")
