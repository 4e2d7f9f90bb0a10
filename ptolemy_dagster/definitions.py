"""All of the pipeline, assembled."""

import dagster as dg

from ptolemy_dagster import checks, jobs
from ptolemy_dagster.assets.cars import built_cars, car
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.assets.scan import scan_result
from ptolemy_dagster.resources import Builder, CatalogResource
from ptolemy_dagster.sensors.room import staging_room

defs = dg.Definitions(
    assets=[scan_result, container_plan, built_cars, car],
    asset_checks=[checks.plan_covers_scan, checks.cars_verify],
    jobs=jobs.ALL,
    sensors=[staging_room],
    resources={"catalog": CatalogResource(), "builder": Builder()},
    executor=jobs.executor,
)
