"""The asset `deals`: a project's deals with storage providers, sent and asked for, as its settings want them."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ptolemy_core.catalog import deal_counts, projects
from ptolemy_core.errors import DealError
from ptolemy_core.sizes import readable
from ptolemy_dagster import show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.assets.cars import built_cars
from ptolemy_dagster.charts import deal_chart
from ptolemy_dagster.failures import as_failure
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.resources import CatalogResource

if TYPE_CHECKING:
    from ptolemy_core.stages.deal_round import RoundResult
    from ptolemy_core.stages.replication import Replication

_SOON = 60
"""Days within which a deal's end is worth a line."""


class DealOptions(dg.Config):
    """What is done with deals."""

    propose: bool = Field(
        default=True, description="Make deals that are missing; else only follow those there are."
    )


@dg.asset(
    partitions_def=project_partitions,
    deps=[built_cars],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"filecoin"},
    config_schema=plain(DealOptions),
    description="Deals with storage providers: proposed as the project's settings want them, and followed until they "
    "are active or over.",
)
def deals(context: dg.AssetExecutionContext, catalog: CatalogResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Make one round of the project's deals."""
    from ptolemy_core.stages.deal import (
        expiring,
        record_plan,
        settle_deals,
    )  # other jobs' runs need none of it
    from ptolemy_core.stages.deal_round import make_round
    from ptolemy_core.stages.replication import replication
    from ptolemy_dagster import deal_facts

    config = DealOptions(**context.op_execution_context.op_config)
    name = context.partition_key
    short: list[tuple[str, str]] = []
    with as_failure():
        opened = catalog.open()
        wallets = deal_facts.wallets()
        settle_deals(opened, name)
        if config.propose:
            plan = record_plan(opened, name, wallets)
            short = [
                (f"{one.car.number:06d}", "; ".join(f"{who}: {why}" for who, why in one.reasons))
                for one in plan.short
            ]
        result = make_round(opened, name, deal_facts.rounds(wallets))
        for problem in result.problems:
            context.log.error(problem)
        for who, reason in result.away.items():
            context.log.warning(f"{who}: {reason}")
        if result.problems:
            raise DealError("; ".join(result.problems[:5]))
        state = replication(opened, name)
        ending = len(expiring(opened, name, _SOON))
        return dg.MaterializeResult(metadata=_metadata(context, catalog, state, result, (short, ending)))


def _metadata(
    context: dg.AssetExecutionContext,
    catalog: CatalogResource,
    state: "Replication",
    result: "RoundResult",
    more: tuple[list[tuple[str, str]], int],
) -> dict[str, dg.MetadataValue | int | str]:
    """What a person wants to see of a project's deals."""
    name, opened = context.partition_key, catalog.open()
    short, ending = more
    moved = ", ".join(f"{count:,} {state}" for state, count in sorted(result.moved.items())) or "none"
    return {
        "pieces": state.pieces,
        "replicas wanted": projects.get(opened, name).replicas or 0,
        "pieces with enough active deals": state.replicated,
        "active deals": state.active,
        "deals on their way": state.on_the_way,
        "sent or asked for": result.asked,
        "moved": moved,
        "by provider": show.table(
            ("provider", "state", "deals", "padded bytes"),
            [
                (who, what, f"{count:,}", readable(size))
                for who, what, count, size in deal_counts.counts(opened, name)
            ],
        ),
        "states over time": deal_chart(
            deal_counts.states_over_time(opened, name), state.pieces * (state.replicas or 1)
        ),
        "providers that don't answer": show.table(("provider", "reason"), sorted(result.away.items())),
        "pieces without enough providers": show.table(("CAR", "reasons"), short),
        f"deals that end within {_SOON} days": ending,
    }
