"""What is proposed to whom: pieces, providers, sources and conditions, as values that check themselves.

The rules are those of the Filecoin network and of what every provider's software asks for; what one engine asks for
beyond that is in its `Terms`.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ptolemy_core import address as addresses
from ptolemy_core import epochs
from ptolemy_core.address import Address, Network
from ptolemy_core.commp import parse_piece_cid, piece_cid_v1
from ptolemy_core.dag import cid
from ptolemy_core.deals.faults import Fault, Problem
from ptolemy_core.deals.redaction import redact_url
from ptolemy_core.errors import ProposalError, SettingsError
from ptolemy_core.ulid import is_ulid

MIN_DURATION: Final = 180 * epochs.DAY
"""Epochs that a deal lasts at least: 518,400."""

MAX_DURATION: Final = 1278 * epochs.DAY
"""Epochs that a deal lasts at most: a sector's longest time, three and a half years."""

MIN_VERIFIED_PIECE: Final = 1 << 20
"""Padded bytes of the smallest piece that an allocation can be for."""

MAX_URLS: Final = 10
MAX_HEADERS: Final = 10
LONGEST_URL: Final = 4096

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
_RESERVED_HEADERS: Final = frozenset(
    {"host", "connection", "proxy-connection", "proxy-authorization", "forwarded", "x-forwarded-for"}
    | {"x-forwarded-host", "x-forwarded-proto", "x-real-ip", "transfer-encoding", "te", "trailer"}
    | {"upgrade", "range"}
)
"""Headers that Curio refuses to send when it fetches."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece that can be proposed.

    Attributes:
        cid: its piece CID v2, which has the root and both sizes.
        payload_cid: the CAR's root, as text; empty where it isn't known.
    """

    cid: str
    payload_cid: str = ""

    @property
    def cid_v1(self) -> str:
        """Its piece CID v1 (baga6ea4seaq...), which allocations and Boost use."""
        return cid.to_text(piece_cid_v1(parse_piece_cid(cid.from_text(self.cid)).root))

    @property
    def size(self) -> int:
        """Bytes of the CAR."""
        return parse_piece_cid(cid.from_text(self.cid)).payload_size or 0

    @property
    def piece_size(self) -> int:
        """Padded bytes."""
        return parse_piece_cid(cid.from_text(self.cid)).piece_size or 0

    def problems(self) -> Iterator[Problem]:
        """What is wrong with it."""
        try:
            parsed = parse_piece_cid(cid.from_text(self.cid))
        except ValueError as error:
            yield Problem(Fault.BAD_PIECE, f"{self.cid[:120]!r} isn't a piece CID: {error}")
            return
        if parsed.payload_size is None:
            yield Problem(
                Fault.BAD_PIECE, f"a deal needs the piece CID v2 (bafkzcib...), got the v1 {self.cid}"
            )
        elif parsed.payload_size == 0:
            yield Problem(Fault.BAD_PIECE, f"the piece {self.cid} is empty; there is nothing to store")


@dataclass(frozen=True, slots=True)
class Provider:
    """A storage provider.

    Attributes:
        address: its actor, as f01234.
        url: where its HTTP API is, such as https://provider.example; empty for engines that need none.
        plain_http: whether http:// is fine although it isn't this machine; signed URLs can then be read on the way.
    """

    address: Address
    url: str = ""
    plain_http: bool = False

    def problems(self) -> Iterator[Problem]:
        """What is wrong with it."""
        if self.address.protocol != addresses.ID:
            yield Problem(
                Fault.BAD_PROVIDER,
                f"a provider's address starts with f0 (t0 on calibration), got {self.address}: use its ID",
            )
        if not self.url:
            return
        shown = redact_url(self.url)
        parts = _split(self.url)
        if parts is None or parts.query or parts.fragment or parts.username is not None:
            yield Problem(
                Fault.BAD_PROVIDER,
                f"the URL of provider {self.address} must be http(s)://HOST[:PORT] without user, query or fragment, "
                f"got {shown}",
            )
        elif parts.scheme == "http" and not self.plain_http and not _is_loopback(parts.hostname or ""):
            yield Problem(
                Fault.INSECURE_PROVIDER,
                f"the URL of provider {self.address} is {shown}: without https, others on the way can read the "
                "signed URLs of your data. Use https, or allow plain HTTP for this provider",
            )


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A URL that a provider fetches a piece from. It and its headers are secrets: neither `repr` shows them.

    Attributes:
        url: the whole URL.
        headers: to send with it, as (name, value).
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return redact_url(self.url)

    def secrets(self) -> Iterator[str]:
        """The texts in it that nobody else may see."""
        yield from (value for _, value in self.headers)
        parts = _split(self.url)
        if parts is not None and parts.query:
            yield parts.query

    def problems(self) -> Iterator[Problem]:
        """What is wrong with it."""
        parts = _split(self.url)
        if parts is None or parts.username is not None or len(self.url) > LONGEST_URL:
            yield Problem(
                Fault.BAD_URL,
                f"a source must be an http(s) URL of at most {LONGEST_URL} printable characters without a user, got "
                f"{redact_url(self.url)[:200]}",
            )
        if len(self.headers) > MAX_HEADERS:
            yield Problem(
                Fault.BAD_HEADER, f"{self} has {len(self.headers)} headers, a source may have {MAX_HEADERS}"
            )
        for name, value in self.headers:
            if not _HEADER_NAME.match(name) or name.lower() in _RESERVED_HEADERS:
                yield Problem(
                    Fault.BAD_HEADER, f"{self} has the header {name[:40]!r}, which providers refuse: drop it"
                )
            elif not value.isprintable():
                yield Problem(
                    Fault.BAD_HEADER, f"the header {name} of {self} has characters that can't be sent"
                )


@dataclass(frozen=True, slots=True)
class Pull:
    """The provider fetches the piece from these URLs."""

    urls: tuple[SourceUrl, ...]

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them."""
        if not 1 <= len(self.urls) <= MAX_URLS:
            yield Problem(
                Fault.TOO_MANY_URLS, f"a deal has 1 to {MAX_URLS} URLs of its piece, got {len(self.urls)}"
            )
        for url in self.urls:
            yield from url.problems()


@dataclass(frozen=True, slots=True)
class Push:
    """We upload the piece once the provider has accepted the deal."""

    def problems(self) -> Iterator[Problem]:
        """Nothing can be wrong with it."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Offline:
    """The piece reaches the provider in another way, on disks for example."""

    def problems(self) -> Iterator[Problem]:
        """Nothing can be wrong with it."""
        return iter(())


Source = Pull | Push | Offline
"""How a piece gets to its provider."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a deal.

    Attributes:
        duration: epochs; an allocation has a term of its own, and providers still check this against it.
        start_epoch: when the deal must be active at the latest; None: the provider chooses.
        allocation_id: of the verified data cap; None: a deal without.
        indexing: whether the provider indexes the piece's blocks, so that they can be retrieved by CID.
        announce: whether it announces them to the network's indexers.
    """

    duration: int = MIN_DURATION
    start_epoch: int | None = None
    allocation_id: int | None = None
    indexing: bool = True
    announce: bool = True

    @property
    def verified(self) -> bool:
        """Whether the deal uses data cap."""
        return self.allocation_id is not None

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them."""
        if not MIN_DURATION <= self.duration <= MAX_DURATION:
            yield Problem(
                Fault.BAD_DURATION,
                f"a deal lasts {MIN_DURATION} to {MAX_DURATION} epochs ({MIN_DURATION // epochs.DAY} to "
                f"{MAX_DURATION // epochs.DAY} days), got {self.duration}",
            )
        if self.start_epoch is not None and self.start_epoch < 1:
            yield Problem(Fault.BAD_START, f"a start epoch is 1 or more, got {self.start_epoch}")
        if self.allocation_id is not None and self.allocation_id < 1:
            yield Problem(Fault.BAD_ALLOCATION, f"an allocation's ID is 1 or more, got {self.allocation_id}")
        if self.announce and not self.indexing:
            yield Problem(
                Fault.NOT_ACCEPTED,
                "blocks can't be announced unless the piece is indexed: turn one off or on",
            )


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal of one piece to one provider.

    Attributes:
        id: a ULID, saved before the proposal is sent and used again whenever it is sent again.
        piece, provider, source, conditions: see their classes.
        client: the address of the wallet that proposes.
        wallet: that wallet's alias.
        hidden: texts that nobody else may see, besides those in the source's URLs.
    """

    id: str
    piece: Piece
    provider: Provider
    client: Address
    wallet: str
    source: Source
    conditions: Conditions = Conditions()
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def network(self) -> Network:
        """The network that the deal is made on."""
        return self.provider.address.network

    def secrets(self) -> list[str]:
        """Texts in it that nobody else may see."""
        return [*self.hidden, *(text for url in self.urls() for text in url.secrets())]

    def urls(self) -> tuple[SourceUrl, ...]:
        """The URLs that the provider fetches from."""
        return self.source.urls if isinstance(self.source, Pull) else ()

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with it, without asking anybody."""
        if not is_ulid(self.id):
            yield Problem(Fault.BAD_ID, f"a deal's ID is a ULID, got {self.id[:40]!r}")
        for part in (self.piece, self.provider, self.source, self.conditions):
            yield from part.problems()
        if self.client.protocol not in (addresses.SECP256K1, addresses.BLS, addresses.DELEGATED):
            yield Problem(
                Fault.BAD_CLIENT, f"a client is a wallet's address (f1, f3 or f410f), got {self.client}"
            )
        if self.client.network != self.network:
            yield Problem(
                Fault.WRONG_NETWORK,
                f"the client {self.client} is of {self.client.network} and the provider {self.provider.address} of "
                f"{self.network}: use addresses of one network",
            )

    def check(self) -> None:
        """Refuse a proposal that is wrong.

        Raises:
            ProposalError: it is; the message has all that is wrong, `fault` the first code.
        """
        refuse(self, list(self.problems()))


def refuse(proposal: Proposal, problems: list[Problem]) -> None:
    """Raise an error if there is a problem.

    Raises:
        ProposalError: there is.
    """
    if problems:
        raise ProposalError(
            f"the deal {proposal.id[:40]} with {proposal.provider.address} can't be proposed: "
            + "; ".join(problem.message for problem in problems),
            problems[0].fault,
        )


def check_allocated(proposal: Proposal) -> Iterator[Problem]:
    """What is wrong with a proposal that uses an allocation."""
    if proposal.conditions.verified and proposal.piece.piece_size < MIN_VERIFIED_PIECE:
        yield Problem(
            Fault.BAD_ALLOCATION,
            f"an allocation needs a piece of at least {MIN_VERIFIED_PIECE} padded bytes, {proposal.piece.cid} has "
            f"{proposal.piece.piece_size}",
        )


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host; None if it isn't one."""
    if not (url.isascii() and url.isprintable() and " " not in url):
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is checked when it is asked for
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def provider_of(text: str, network: Network, url: str = "", plain_http: bool = False) -> Provider:
    """A provider of texts, checked.

    Raises:
        SettingsError: the address isn't one of the network, or something is wrong with the URL.
    """
    provider = Provider(addresses.parse_on(text, network), url.rstrip("/"), plain_http)
    for problem in provider.problems():
        raise SettingsError(problem.message)
    return provider
