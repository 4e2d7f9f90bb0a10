"""Data versions of the assets: what is made again and comes out the same leaves everything after it up to date."""

import hashlib
from collections.abc import Iterable

import dagster as dg

from ptolemy_core.catalog import Catalog, scans
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.dag import cid


def of_scan(catalog: Catalog, project: str) -> dg.DataVersion:
    """Of what scans found: the last scans that found something new, and something gone."""
    first, gone = scans.last_news(catalog, project)
    return dg.DataVersion(f"scan-{first}-{gone}")


def of_plan(rows: Iterable[ContainerRow]) -> dg.DataVersion:
    """Of a plan: its containers."""
    return _digest(f"{row.number} {row.id} {row.items} {row.car_size}" for row in rows)


def of_cars(rows: Iterable[CarRow]) -> dg.DataVersion:
    """Of built CARs: their piece CIDs, and which of them are dead."""
    return _digest(f"{row.number} {row.piece_cid_v2.hex()} {row.dead_at is not None}" for row in rows)


def of_root(row: RootRow) -> dg.DataVersion:
    """Of a data set's root: its CID."""
    return dg.DataVersion(cid.to_text(row.root_cid))


def of_manifest(rows: Iterable[CarRow], form: str, url: str | None) -> dg.DataVersion:
    """Of a manifest: the CARs that are in it, and how it is written."""
    return _digest([of_cars(rows).value, form, url or ""])


def last_of(instance: dg.DagsterInstance, asset: str, partition: str) -> str | None:
    """The data version that an asset's partition has now; None if it was never materialized, or had none."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    made = found[0].asset_materialization if found else None
    return None if made is None else (made.tags or {}).get("dagster/data_version")


def _digest(lines: Iterable[str]) -> dg.DataVersion:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode() + b"\n")
    return dg.DataVersion(found.hexdigest()[:32])
