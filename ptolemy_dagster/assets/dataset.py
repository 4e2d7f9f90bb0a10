"""The root of the whole data set, and the manifest."""

from collections.abc import Iterator

import dagster as dg

from ptolemy_core.catalog import cars, waiting
from ptolemy_core.manifest import default_format
from ptolemy_dagster import data_versions, show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.assets.cars import built_cars
from ptolemy_dagster.failures import as_failure
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.weight import ENTRIES


@dg.asset(
    partitions_def=project_partitions,
    deps=[built_cars],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"car"},
    op_tags=ENTRIES,
    output_required=False,
    description="The whole tree of a project as one DAG: its root CID, and a CAR of the folders and file nodes "
    "that no single CAR holds.",
)
def dataset_root(
    context: dg.AssetExecutionContext, catalog: CatalogResource
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    """Put the tree of the project's last scan together."""
    from ptolemy_core.stages.dataset import build_root  # other jobs' runs need none of it

    with as_failure():
        if waiting.rows(catalog.open(), context.partition_key):
            context.log.warning(
                "not all CARs are built: they wait for free space in the staging folder; no root yet"
            )
            return
        row, new = build_root(catalog.open_for(context.partition_key), context.partition_key)
    if not new:
        context.log.info(f"the tree has this root already, in {row.file_name}: nothing to do")
    yield dg.MaterializeResult(data_version=data_versions.of_root(row), metadata=show.root_metadata(row))


class ManifestSettings(dg.Config):
    """How the manifest is written."""

    format: str | None = None
    url: str | None = None


@dg.asset(
    partitions_def=project_partitions,
    deps=[built_cars, dataset_root],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"table"},
    op_tags=ENTRIES,
    config_schema=plain(ManifestSettings),
    description="Which bytes of which CAR hold each file, and a summary of the CARs, in `manifests` in the staging "
    "folder. format: parquet, csv or jsonl; url: a template such as https://example.com/{piece_cid}.car.",
)
def manifest(context: dg.AssetExecutionContext, catalog: CatalogResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Write the project's manifest."""
    from ptolemy_core.stages.manifest import (
        ManifestOptions,
        write_manifest,
    )  # other jobs' runs need none of it

    config = ManifestSettings(**context.op_execution_context.op_config)
    form = config.format or default_format()
    with as_failure():
        written = write_manifest(
            catalog.open_for(context.partition_key),
            context.partition_key,
            ManifestOptions(form=form, url=config.url or None),
        )
    rows = cars.rows(catalog.open(), context.partition_key)
    return dg.MaterializeResult(
        data_version=data_versions.of_manifest(rows, form, config.url),
        metadata={
            "rows": written.rows,
            "CARs": written.cars,
            "manifest": dg.MetadataValue.path(written.manifest),
            "summary": dg.MetadataValue.path(written.summary),
            "table of CARs": dg.MetadataValue.path(written.table),
        },
    )
