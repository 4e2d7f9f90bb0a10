"""Evidence that providers hold a piece: random ranges of it are fetched from them, and checked by their CIDs.

That a deal is active is the provider's own word. Here blocks of the piece are read from the provider: the root of a
random file or shard, whose CID the catalog has, and below it, link by link, a random leaf. Every block must have the
CID that the catalog or the node above it says.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ptolemy_core import url_template
from ptolemy_core.car import nodes
from ptolemy_core.catalog import cars, providers, replicas, shards
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.shards import BuiltShard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import balanced, cid, varint
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.deals import Piece
from ptolemy_core.deals.engines import RETRIEVAL
from ptolemy_core.deals.redaction import redact
from ptolemy_core.errors import PtolemyError
from ptolemy_core.reader import dagpb
from ptolemy_core.restore.http_ranges import FetchError, HttpOptions, HttpRanges
from ptolemy_core.stages.deal_proposal import piece_names
from ptolemy_core.tree import Kind

SAMPLES: Final = 4
"""Files or shards of which a leaf is fetched from each provider."""

_LARGEST_BLOCK: Final = 4 << 20

Read = Callable[[int, int], bytes]
"""Gives a range of a piece: offset and length."""


class BadPieceError(Exception):
    """A provider gives something else than the piece."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who showed that they hold a piece, and why others didn't.

    Attributes:
        held: names of providers that gave what was asked for.
        faults: of the others with an active deal: name and reason.
    """

    held: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Looking:
    """How providers are asked.

    Attributes:
        profile: of the DAG.
        http: fetches ranges.
        choose: the source of randomness, which a provider mustn't be able to guess.
    """

    profile: Profile = UNIXFS_V1_2025
    http: HttpRanges = field(default_factory=lambda: HttpRanges(HttpOptions(private_redirects=False)))
    choose: random.Random = field(default_factory=random.SystemRandom)


def look(catalog: Catalog, row: CarRow, enough: int, looking: Looking) -> Evidence:
    """Ask providers with an active deal for random ranges of a CAR, until enough of them gave them.

    Args:
        catalog: of the deals.
        row: of the CAR.
        enough: how many providers.
        looking: how they are asked.
    """
    names = replicas.holders(catalog, row.project, [row.piece_cid_v2]).get(row.piece_cid_v2, [])
    found = [one for one in shards.built(catalog, row.container_id) if one.kind != Kind.DIRECTORY]
    held: list[str] = []
    faults: list[tuple[str, str]] = []
    for provider in providers.rows(catalog, names):
        if len(held) >= enough:
            break
        try:
            _ask(provider, row, found, looking)
        except (FetchError, BadPieceError, PtolemyError) as error:
            faults.append((provider.name, redact(str(error))))
        else:
            held.append(provider.name)
    return Evidence(tuple(held), tuple(faults))


def retrieval_template(provider: ProviderRow) -> str | None:
    """The template of where a piece can be fetched from a provider; None where that isn't known."""
    if provider.retrieval_url:
        return provider.retrieval_url
    usual = RETRIEVAL.get(provider.engine)
    return f"{provider.url}{usual}" if usual and provider.url else None


def retrieval_url(provider: ProviderRow, row: CarRow) -> str | None:
    """Where a CAR can be fetched from a provider."""
    template = retrieval_template(provider)
    if template is None:
        return None
    names = piece_names(Piece(cid.to_text(row.piece_cid_v2), cid.to_text(row.payload_cid)))
    return url_template.fill(template, names | {"secret": "", "signature": ""})


def retrieval_templates(catalog: Catalog, project: str) -> list[str]:
    """Templates as `ptolemy restore --from` takes them, of the providers with active deals of a project's pieces."""
    pieces = {row.piece_cid_v2 for row in cars.rows(catalog, project)}
    names = sorted({name for found in replicas.holders(catalog, project, pieces).values() for name in found})
    templates = [retrieval_template(row) for row in providers.rows(catalog, names)]
    return [
        _for_restore(one) for one in templates if one and "{payload_cid}" not in one and "{secret}" not in one
    ]


def _for_restore(template: str) -> str:
    return (
        template.replace("{piece_cid_v1}", "{piece}")
        .replace("{piece_cid}", "{piece_v2}")
        .replace("{file_name}", "{piece}.car")
    )


def _ask(provider: ProviderRow, row: CarRow, found: Sequence[BuiltShard], looking: Looking) -> None:
    """See that a provider gives random parts of a CAR.

    Raises:
        FetchError, BadPieceError: it doesn't.
    """
    url = retrieval_url(provider, row)
    if url is None:
        raise BadPieceError(
            f"it isn't known where {provider.name} serves pieces: ptolemy providers add with --retrieval-url"
        )

    def read(offset: int, length: int) -> bytes:
        data = bytearray(max(0, min(length, row.car_size - offset)))
        looking.http.fetch_into(url, offset, memoryview(data))
        return bytes(data)

    _read_block(read, len(nodes.header(row.payload_cid)), row.payload_cid)
    for one in looking.choose.sample(found, min(SAMPLES, len(found))):
        check_leaf(read, one, looking)


def check_leaf(read: Read, one: BuiltShard, looking: Looking) -> None:
    """Fetch a random leaf of a file or shard with the nodes above it, and check each by its CID.

    Raises:
        FetchError, BadPieceError: the range can't be fetched, or has something else.
    """
    offset, wanted, length = one.car_offset, one.cid, one.length
    profile = looking.profile
    height = balanced.height_of(balanced.leaves_of(length, profile), profile)
    while True:
        block = _read_block(read, offset, wanted)
        if one.kind != Kind.FILE or wanted[1] == cid.RAW:
            return
        try:
            links = dagpb.decode_node(block).links
        except ValueError as error:
            raise BadPieceError(f"the node {cid.to_text(wanted)} can't be read: {error}") from None
        height -= 1
        share = profile.chunk * profile.width ** max(height, 0)
        if not links or len(links) != -(-length // share):
            return  # a shape that isn't the profile's: the root was checked
        number = looking.choose.randrange(len(links))
        offset += balanced.section_size(len(block))
        offset += number * balanced.extent(share, profile).span
        wanted, length = links[number].cid, min(share, length - number * share)


def _read_block(read: Read, offset: int, wanted: bytes) -> bytes:
    """The block with a CID whose section begins at an offset."""
    head = read(offset, 4 + cid.SIZE)
    try:
        size, at = varint.decode(head)
    except ValueError:
        size, at = 0, 0
    size -= cid.SIZE
    if not 0 <= size <= _LARGEST_BLOCK or head[at : at + cid.SIZE] != wanted:
        raise BadPieceError(f"it has something else than the block {cid.to_text(wanted)} at byte {offset}")
    start = offset + at + cid.SIZE
    block = read(start, size) if size else b""
    if hashlib.sha256(block).digest() != wanted[-32:]:
        raise BadPieceError(f"the block {cid.to_text(wanted)} at byte {start} has other content")
    return block
