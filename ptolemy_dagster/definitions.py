"""All of the pipeline, assembled."""

import dagster as dg

from ptolemy_dagster import checks, jobs
from ptolemy_dagster.assets.cars import built_cars, car
from ptolemy_dagster.assets.dataset import dataset_root, manifest
from ptolemy_dagster.assets.deals import deals
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.assets.scan import scan_result
from ptolemy_dagster.handover import CatalogIOManager
from ptolemy_dagster.resources import Builder, CatalogResource
from ptolemy_dagster.schedules import daily_deals, rescan
from ptolemy_dagster.sensors.auto import auto
from ptolemy_dagster.sensors.deals import deals_due
from ptolemy_dagster.sensors.failed import failed
from ptolemy_dagster.sensors.staging_space import staging_space
from ptolemy_dagster.sensors.watch import watch

catalog = CatalogResource()
defs = dg.Definitions(
    assets=[scan_result, container_plan, built_cars, car, dataset_root, manifest, deals],
    asset_checks=[checks.plan_covers_scan, checks.cars_verify, checks.replicated],
    jobs=jobs.ALL,
    sensors=[watch, auto, deals_due, staging_space, failed],
    schedules=[rescan, daily_deals],
    resources={"catalog": catalog, "builder": Builder(), "io_manager": CatalogIOManager(catalog=catalog)},
    executor=jobs.executor,
)
