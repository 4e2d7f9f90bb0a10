"""What stages of deals did, as it is told by commands, HTTP and assets."""

from ptolemy_core.catalog import Catalog, home
from ptolemy_core.dag import cid
from ptolemy_core.deals.engines import engines_with
from ptolemy_core.facts.deals import (
    DealPlanFacts,
    DealRoundFacts,
    PlannedDealFacts,
    ReplicationFacts,
    ShortPieceFacts,
)
from ptolemy_core.keys.wallets import Wallets, open_wallets
from ptolemy_core.stages.deal_plan import DealPlan
from ptolemy_core.stages.deal_round import RoundResult, Rounds
from ptolemy_core.stages.replication import Replication, replication

_SHOWN = 20


def wallets() -> Wallets:
    """The wallets that the environment offers."""
    return open_wallets(home())


def rounds(found: Wallets) -> Rounds:
    """What rounds are made with: all engines, at the usual pace."""
    return Rounds(engines_with(found))


def plan_facts(project: str, plan: DealPlan) -> DealPlanFacts:
    """A plan."""
    return DealPlanFacts(
        project=project,
        pieces=plan.pieces,
        wanted=plan.wanted,
        active=plan.active,
        on_the_way=plan.on_the_way,
        deals=[
            PlannedDealFacts(
                container=one.car.number,
                piece_cid_v2=cid.to_text(one.car.piece_cid_v2),
                piece_size=one.car.piece_size,
                provider=one.provider.name,
                attempt=one.attempt,
                allocation_id=one.allocation_id,
                renews=one.renews or None,
            )
            for one in plan.assignments
        ],
        short=[
            ShortPieceFacts(
                container=one.car.number,
                piece_cid_v2=cid.to_text(one.car.piece_cid_v2),
                missing=one.missing,
                reasons=[f"{name}: {reason}" for name, reason in one.reasons],
            )
            for one in plan.short
        ],
        waiting=len(plan.waiting),
    )


def round_facts(project: str, result: RoundResult) -> DealRoundFacts:
    """What a round did."""
    return DealRoundFacts(
        project=project,
        asked=result.asked,
        moved=dict(result.moved),
        away=result.away,
        problems=result.problems,
    )


def replication_facts(catalog: Catalog, project: str) -> ReplicationFacts:
    """How far the replicas of a project are."""
    return facts_of(replication(catalog, project))


def facts_of(one: Replication) -> ReplicationFacts:
    """How far replicas are."""
    return ReplicationFacts(
        project=one.project,
        replicas=one.replicas,
        pieces=one.pieces,
        replicated=one.replicated,
        active=one.active,
        on_the_way=one.on_the_way,
        missing=[piece for piece, _ in one.missing[:_SHOWN]],
    )
