"""Asset checks: what must hold of a plan and of CARs."""

import warnings
from contextlib import closing

import dagster as dg
from pydantic import Field

from ptolemy_core.catalog import cars as receipts
from ptolemy_core.catalog.coverage import uncovered
from ptolemy_core.catalog.skipped import not_stored
from ptolemy_core.sizes import counted
from ptolemy_dagster import show
from ptolemy_dagster.assets.cars import built_cars
from ptolemy_dagster.assets.deals import deals
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.failures import AGAIN, as_failure
from ptolemy_dagster.live import Live
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.weight import CARS, ENTRIES

_SHOWN = 20

# partitioned checks are a preview in Dagster; pyproject.toml holds Dagster to versions where they were tested
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")


@dg.asset_check(
    asset=container_plan,
    blocking=True,
    retry_policy=AGAIN,
    op_tags=ENTRIES,
    partitions_def=project_partitions,
    description="The plan covers every byte of every scanned file exactly once.",
)
def plan_covers_scan(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
    """Compare plan and scan."""
    problems = uncovered(catalog.open(), context.partition_key)
    return dg.AssetCheckResult(
        passed=not problems,
        description=_said(problems),
        metadata={"problems": show.table(("problem",), ([p] for p in problems))},
    )


class VerifyOptions(dg.Config):
    """What a verification reads."""

    again: bool = Field(
        default=False, description="Read CARs too that passed before and haven't changed since."
    )
    source: bool = Field(default=False, description="Compare the CARs' content with the files in target_dir.")


@dg.asset_check(
    asset=built_cars,
    blocking=True,
    retry_policy=AGAIN,
    op_tags=CARS,
    partitions_def=project_partitions,
    config_schema=plain(VerifyOptions),
    description="Each CAR, read back: every block's hash, the tree against the scan, piece CIDs, sizes.",
)
def cars_verify(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
    """Read all CARs of the project back that weren't since they changed."""
    from ptolemy_core.stages.verify import Verifying, verify  # other jobs' runs need none of it

    config = VerifyOptions(**context.op_execution_context.op_config)
    problems: list[str] = []
    cars = known = away = dead = blocks = entries = size = compared = outdated = 0
    with as_failure():
        opened = catalog.open_for(context.partition_key)
    total = sum(row.car_size for row in receipts.rows(opened, context.partition_key))
    live = Live(context.op_execution_context, opened, "verify")
    read = 0

    def report(step: int) -> None:
        nonlocal read
        read += step
        live.verifying(read, total)

    how = Verifying(again=config.again, source=config.source)
    verdicts = verify(opened, context.partition_key, how, progress=report)
    with as_failure(), closing(verdicts):
        for verdict in verdicts:
            if verdict.away or verdict.dead:
                away += verdict.away
                dead += verdict.dead
                continue
            known += verdict.known
            cars += 1
            blocks += verdict.blocks
            entries += verdict.entries
            compared += verdict.compared
            outdated += verdict.outdated
            size += verdict.car.car_size
            problems += verdict.problems
            for problem in verdict.problems:
                context.log.error(problem)
    live.ended(f"verify {counted(cars, 'CAR')}, {counted(len(problems), 'problem')}")
    return dg.AssetCheckResult(
        passed=not problems,
        description=_said(problems),
        metadata={
            "CARs": cars,
            "passed before and unchanged, not read again": known,
            "delivered, not in staging": away,
            "dead, since their source changed": dead,
            "in no CAR, so not verified": str(not_stored(opened, context.partition_key)) or "none",
            "blocks": blocks,
            "entries": entries,
            "bytes": show.size(size),
            "compared with the source": compared,
            "changed or deleted since, not compared": outdated,
            "problems": show.table(("problem",), ([p] for p in problems)),
        },
    )


@dg.asset_check(
    asset=deals,
    retry_policy=AGAIN,
    partitions_def=project_partitions,
    description="Each piece has as many active deals as the project wants.",
)
def replicated(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
    """Compare the project's active deals with what it wants."""
    from ptolemy_core.stages.deal import settle_deals  # other jobs' runs need none of it
    from ptolemy_core.stages.replication import replication

    with as_failure():
        opened = catalog.open()
        settle_deals(opened, context.partition_key)
        state = replication(opened, context.partition_key)
    wanted = state.replicas or 0
    short = [f"{piece} has {count} of {wanted} active deals" for piece, count in state.missing]
    return dg.AssetCheckResult(
        passed=state.replicas is not None and not short and state.pieces > 0,
        description=_said(
            short if state.replicas is not None else ["the project wants no deals yet: set replicas"]
        ),
        metadata={
            "pieces": state.pieces,
            "replicas wanted": wanted,
            "pieces with enough active deals": state.replicated,
            "pieces without": show.table(("piece",), ([text] for text in short)),
        },
    )


def _said(problems: list[str]) -> str | None:
    """The first problems, as a command line shows them."""
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n".join(problems[:_SHOWN] + more) or None
