"""Which proposals are accepted: the checks of utils.go, ddo_v1.go, retrieval_v1.go and sanitizeDDODeal in order."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ptolemy_core import address
from ptolemy_core.commp import PieceCid, parse_piece_cid, piece_cid_v1
from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError

MIN_DURATION = 518_400
MAX_EXTENSION = 3_681_260
"""About what an allocation's shortest term may be: the longest life of a sector without a look back."""

_BLOCKED = {
    "host", "connection", "proxy-connection", "proxy-authorization", "forwarded", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "transfer-encoding", "te", "trailer", "upgrade", "range",
}  # fmt: skip


@dataclass(frozen=True)
class Allocation:
    """An allocation of data cap, as the chain would have it."""

    client: str
    provider: str
    piece_cid_v1: str
    piece_size: int
    term_min: int = MIN_DURATION
    term_max: int = 5 * 365 * 2880
    expiration: int = 10_000_000


@dataclass
class Market:
    """What a provider is set up to take.

    Attributes:
        providers: addresses of its cluster.
        network: that it is on.
        denied: clients that aren't allowed.
        products, sources: that are turned on.
        sector_size: bytes of a sector.
        head: the chain's epoch.
        sealing: epochs that sealing takes.
        allocations: by their IDs.
        min_chunk, max_chunk: bytes of a chunk of an upload.
    """

    providers: tuple[str, ...] = ("f01000",)
    network: address.Network = "mainnet"
    denied: set[str] = field(default_factory=set)
    products: dict[str, bool] = field(default_factory=lambda: {"ddo_v1": True, "retrieval_v1": True})
    sources: dict[str, bool] = field(default_factory=lambda: {"http": True, "offline": True, "put": True})
    sector_size: int = 32 << 30
    head: int = 5_000_000
    sealing: int = 960
    allocations: dict[int, Allocation] = field(default_factory=dict)
    min_chunk: int = 16 << 20
    max_chunk: int = 256 << 20


class Refusal(Exception):
    """A proposal isn't taken."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def check_deal(deal: Any, client: str, market: Market) -> None:
    """Check a proposal of an authenticated client.

    Raises:
        Refusal: it isn't taken.
    """
    if not isinstance(deal, dict) or not isinstance(deal.get("identifier"), str):
        raise Refusal(400, "json: cannot unmarshal into Go value of type mk20.Deal")
    if len(deal["identifier"]) != 26:
        raise Refusal(400, "ulid: bad data size when unmarshaling")
    if not deal.get("client"):
        raise Refusal(400, "client is empty")
    if deal["client"] != client:
        raise Refusal(400, "client in deal does not match client in auth header")
    products = deal.get("products") or {}
    ddo = _check_products(products, market)
    data = deal.get("data")
    if data is not None:
        _check_data(data, market)
    _sanitize(deal, ddo, market)


def piece_of(deal: dict[str, Any]) -> PieceCid:
    """The piece of a proposal that was checked."""
    return parse_piece_cid(cid.from_text(deal["data"]["piece_cid"]["/"]))


def _check_products(products: dict[str, Any], market: Market) -> dict[str, Any]:
    for name in products:
        if name not in ("ddo_v1", "retrieval_v1", "pdp_v1"):
            raise Refusal(423, f"products validation failed: unsupported product: {name}")
        if not market.products.get(name):
            raise Refusal(424, f"products validation failed: product {name} is not enabled")
    ddo = products.get("ddo_v1")
    if ddo is None:
        raise Refusal(423, "Unsupported product")
    if products.get("pdp_v1") is not None:
        raise Refusal(425, "products validation failed: ddo_v1 and pdp_v1 exclude each other")
    if not ddo.get("provider"):
        raise Refusal(425, "products validation failed: provider address is not set")
    try:
        address.parse(ddo["provider"])
    except SettingsError:
        raise Refusal(400, "json: invalid address") from None
    start = ddo.get("start_epoch")
    if start is not None and start <= 0:
        raise Refusal(425, "products validation failed: start epoch cannot be negative")
    if ddo.get("allocation_id") == 0:
        raise Refusal(425, "products validation failed: incorrect allocation id")
    if ddo.get("allocation_id") is None and ddo.get("duration", 0) < MIN_DURATION:
        raise Refusal(441, f"products validation failed: duration must be at least {MIN_DURATION}")
    retrieval = products.get("retrieval_v1")
    if retrieval is None:
        raise Refusal(425, "products validation failed: retrieval v1 is required for ddo v1")
    if retrieval.get("announce_piece"):
        raise Refusal(425, "products validation failed: announce piece is not supported for ddo v1")
    if not retrieval.get("indexing") and retrieval.get("announce_payload"):
        raise Refusal(425, "products validation failed: deal cannot be announced to IPNI without indexing")
    return ddo


def _check_data(data: dict[str, Any], market: Market) -> None:
    try:
        piece = parse_piece_cid(cid.from_text(data["piece_cid"]["/"]))
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, "invalid piece cid") from None
    if piece.payload_size is None:
        raise Refusal(400, "piece cid is not raw")
    if piece.payload_size == 0:
        raise Refusal(400, "payload size is 0")
    given = [
        name
        for name in ("http", "offline", "aggregate", "http_put")
        if data.get(f"source_{name}") is not None
    ]
    if len(given) > 1:
        raise Refusal(400, "multiple sources defined for data source")
    if not given:
        raise Refusal(400, "no source defined for data source")
    formats = [
        name for name in ("car", "raw", "aggregate") if (data.get("format") or {}).get(name) is not None
    ]
    if not formats:
        raise Refusal(400, "no format defined")
    if len(formats) > 1:
        raise Refusal(400, "multiple formats defined")
    name = given[0].removeprefix("http_")
    if not market.sources.get(name):
        raise Refusal(422, f"data source {name} is not enabled")
    if given[0] == "http":
        _check_urls(data["source_http"].get("urls") or [])


def _check_urls(urls: list[dict[str, Any]]) -> None:
    if not urls:
        raise Refusal(430, "no urls defined")
    if len(urls) > 10:
        raise Refusal(430, "maximum 10 URLs are supported per piece")
    for url in urls:
        text, headers = url.get("url", ""), url.get("headers") or {}
        if not text or len(text) > 4096 or any(c in text for c in "\0\r\n\t"):
            raise Refusal(400, "invalid url")
        parts = urlsplit(text)
        if parts.username is not None:
            raise Refusal(400, "invalid url: url userinfo is not allowed")
        if parts.scheme not in ("http", "https"):
            raise Refusal(400, f'invalid url: unsupported url scheme "{parts.scheme}"')
        for name, values in headers.items():
            if not isinstance(values, list):
                raise Refusal(400, "json: cannot unmarshal string into Go value of type []string")
            if name.lower() in _BLOCKED:
                raise Refusal(400, f'invalid url: header "{name}" is not allowed')
        if len(headers) > 10:
            raise Refusal(430, "maximum 10 headers are supported per piece")


def _sanitize(deal: dict[str, Any], ddo: dict[str, Any], market: Market) -> None:
    if ddo["provider"] not in market.providers:
        raise Refusal(400, "Provider not available in Curio cluster")
    if deal.get("data") is None:
        raise Refusal(400, "Data Source must be defined for a DDO deal")
    piece = piece_of(deal)
    size = piece.piece_size or 0
    if size > market.sector_size:
        raise Refusal(400, "Deal size is larger than the miner's sector size")
    if deal["data"]["format"].get("raw") is not None and deal["products"]["retrieval_v1"].get("indexing"):
        raise Refusal(400, "Raw bytes deal cannot be indexed")
    if deal["client"] in market.denied:
        raise Refusal(401, "Client is not allowed to make deal with this provider")
    start = ddo.get("start_epoch")
    if start is not None and start < market.head:
        raise Refusal(400, "Start epoch is less than the current chain height")
    if start is not None and start < market.head + market.sealing:
        raise Refusal(
            400, "Start epoch is less than the current chain height plus the expected PoRep seal duration"
        )
    if ddo.get("allocation_id") is not None:
        _check_allocation(deal, ddo, piece, market)


def _check_allocation(deal: dict[str, Any], ddo: dict[str, Any], piece: PieceCid, market: Market) -> None:
    if (piece.piece_size or 0) < 1 << 20:
        raise Refusal(400, "Verified piece size must be at least 1MB")
    allocation = market.allocations.get(ddo["allocation_id"])
    if allocation is None or allocation.client != deal["client"]:
        raise Refusal(400, "Verified piece must have a valid allocation ID")
    if allocation.provider not in market.providers:
        raise Refusal(400, "Allocation provider does not belong to the list of miners in Curio cluster")
    if allocation.piece_cid_v1 != cid.to_text(piece_cid_v1(piece.root)):
        raise Refusal(400, "Allocation data CID does not match the piece CID")
    if allocation.piece_size != piece.piece_size:
        raise Refusal(400, "Allocation size does not match the piece size")
    if allocation.term_min > MAX_EXTENSION:
        raise Refusal(400, "Allocation term min is greater than the maximum sector expiration extension")
    duration = ddo.get("duration", 0)
    if not allocation.term_min <= duration <= allocation.term_max:
        raise Refusal(400, "Duration is outside the allocation's term")
    if allocation.expiration < (ddo.get("start_epoch") or market.head + market.sealing):
        raise Refusal(400, "Allocation expires before the deal starts")
