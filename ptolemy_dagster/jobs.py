"""Jobs: a stage each, all of them in a row, verification, and the definition of projects."""

import functools
import operator

import dagster as dg

from ptolemy_core.project import parse_project
from ptolemy_core.stages.order import UNTIL_OF_JOB, Stage, Until
from ptolemy_dagster import checks
from ptolemy_dagster.assets.cars import built_cars
from ptolemy_dagster.assets.dataset import dataset_root, manifest
from ptolemy_dagster.assets.deals import deals
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.assets.scan import scan_result
from ptolemy_dagster.failures import as_failure
from ptolemy_dagster.internals.dask_executor import dask_executor
from ptolemy_dagster.internals.running import AnyJob
from ptolemy_dagster.internals.steps import StepExecutor
from ptolemy_dagster.liveness import watched
from ptolemy_dagster.machines.settings import scheduler_address
from ptolemy_dagster.partitions import define
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.project_config import ProjectSettings
from ptolemy_dagster.resources import BUILD_PROCESSES, CatalogResource
from ptolemy_dagster.restoring import restore_job
from ptolemy_dagster.weight import is_light

# A run that is retried must run all steps: Dagster's retry from failure has been seen to succeed without
# the steps of a fan-out that were lost with the run's worker. Receipts make the repetition cheap.
_TAGS = {"dagster/retry_strategy": "ALL_STEPS"}


@dg.executor(name="ptolemy_processes", requirements=dg.multiple_process_executor_requirements())
def local_executor(context: dg.InitExecutorContext) -> StepExecutor:
    """Steps on this machine: light ones in the run's process, others in processes of their own."""
    return StepExecutor(BUILD_PROCESSES, is_light)


_scheduler = scheduler_address()
executor = (
    watched(dask_executor).configured({"address": _scheduler}, name="ptolemy_workers")
    if _scheduler
    else watched(local_executor)
)

_verification = dg.AssetSelection.checks(checks.cars_verify)

scan = dg.define_asset_job(
    "scan", selection=[scan_result], tags=_TAGS, description="Scan a project's target folder."
)
containerize = dg.define_asset_job(
    "containerize", selection=[container_plan], tags=_TAGS, description="Plan a project's containers."
)
blitz = dg.define_asset_job(
    "blitz",
    selection=dg.AssetSelection.assets(built_cars).without_checks(),
    tags=_TAGS,
    description="Build all CARs of a project that aren't built yet.",
)
_OF_STAGE = {
    Stage.SCAN: dg.AssetSelection.assets(scan_result),
    Stage.CONTAINERIZE: dg.AssetSelection.assets(container_plan),
    Stage.BLITZ: dg.AssetSelection.assets(built_cars).without_checks(),
    Stage.VERIFY: _verification,
    Stage.ROOT: dg.AssetSelection.assets(dataset_root),
    Stage.MANIFEST: dg.AssetSelection.assets(manifest),
}


def _in_a_row(until: Until, description: str) -> AnyJob:
    """A job of all stages up to one."""
    selection = functools.reduce(operator.or_, (_OF_STAGE[stage] for stage in until.stages))
    return dg.define_asset_job(until.job, selection=selection, tags=_TAGS, description=description)


onboard = _in_a_row(
    Until.MANIFEST, "Scan, containerize, blitz and verify a project; then make its root and manifest."
)
parts_of_onboard = [
    _in_a_row(until, f"As onboard, and end after {until.value}: ptolemy run --until {until.value}.")
    for until in UNTIL_OF_JOB.values()
    if until is not Until.MANIFEST
]
root = dg.define_asset_job(
    "root",
    selection=[dataset_root],
    tags=_TAGS,
    description="Make the root of a project's whole tree, which links its CARs.",
)
carry_on = dg.define_asset_job(
    "carry_on",
    selection=dg.AssetSelection.assets(container_plan)
    | dg.AssetSelection.assets(built_cars).without_checks(),
    tags=_TAGS,
    description="Containerize and blitz what a scan found. The sensor auto launches it.",
)
deal = dg.define_asset_job(
    "deal",
    selection=[deals],
    tags=_TAGS,
    description="Make and follow a project's deals, and see whether each piece has enough.",
)
verify = dg.define_asset_job(
    "verify",
    selection=_verification,
    tags=_TAGS,
    description="Read a project's CARs back and check all of them.",
)


@dg.op(
    description="Creates a project, so that its partition can be materialized.",
    config_schema=plain(ProjectSettings),
)
def define_project(context: dg.OpExecutionContext, catalog: CatalogResource) -> None:
    """Create the project of these settings."""
    from ptolemy_core.stages.deal_settings import wallet_warning  # other jobs' runs need none of it

    with as_failure():
        project = parse_project(context.op_config)
        new = define(catalog.open(), context.instance, project)
        warning = wallet_warning(project)
    if warning is not None:
        context.log.warning(warning)
    context.log.info(
        f"project {project.name} {'was created' if new else 'already exists with these settings'}"
    )


_EXAMPLE = {
    "name": "NAME",
    "target_dir": "/folder/to/store",
    "staging_dir": "/folder/for/cars",
}
"""What the Launchpad starts with: what must be given."""


@dg.job(
    description="Create a project: enter its settings in the Launchpad.",
    config={"ops": {"define_project": {"config": _EXAMPLE}}},
    executor_def=dg.in_process_executor,  # one quick step: a process of its own would take longer than it
)
def create() -> None:
    """Create a project."""
    define_project()


ALL: list[AnyJob] = [
    create,
    scan,
    containerize,
    blitz,
    onboard,
    *parts_of_onboard,
    carry_on,
    root,
    verify,
    restore_job,
    deal,
]
