"""How far a project's replicas are: pieces with enough active deals, and those without."""

from collections import defaultdict
from dataclasses import dataclass

from ptolemy_core.catalog import cars, deals, projects, replicas
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.deals.states import DealState
from ptolemy_core.stages.deal_plan import is_stuck


@dataclass(frozen=True, slots=True)
class Replication:
    """Pieces and their active deals.

    Attributes:
        project, replicas: the project's name, and how many are wanted; None: none are.
        pieces, replicated: how many there are, and how many of them have enough.
        active, on_the_way: providers with an active deal, and with one that isn't yet, over all pieces.
        missing: piece CIDs v2 without enough, and how many active deals each has.
    """

    project: str
    replicas: int | None
    pieces: int
    replicated: int
    active: int
    on_the_way: int
    missing: tuple[tuple[str, int], ...]


def replication(catalog: Catalog, name: str) -> Replication:
    """How far the replicas of a project are; a dead CAR counts only if enough providers have it."""
    wanted = projects.get(catalog, name).replicas
    lost = [row for row in cars.rows(catalog, name) if row.dead_at is not None and row.delivered_at is None]
    pieces = sorted(
        {row.piece_cid_v2 for row in cars.rows(catalog, name)} - {row.piece_cid_v2 for row in lost}
    )
    active: dict[bytes, set[str | None]] = defaultdict(set)
    coming: dict[bytes, set[str | None]] = defaultdict(set)
    elsewhere = replicas.elsewhere(catalog, name)
    for row in deals.select(catalog, pieces=pieces, live=True):
        if row.provider in elsewhere:
            continue
        if row.state == DealState.ACTIVE:
            active[row.piece_cid_v2].add(row.provider)
        elif not is_stuck(row):
            coming[row.piece_cid_v2].add(row.provider)
    short = [piece for piece in pieces if len(active[piece]) < (wanted or 0)]
    return Replication(
        project=name,
        replicas=wanted,
        pieces=len(pieces),
        replicated=len(pieces) - len(short),
        active=sum(map(len, active.values())),
        on_the_way=sum(len(coming[piece] - active[piece]) for piece in pieces),
        missing=tuple((cid.to_text(piece), len(active[piece])) for piece in short),
    )
