"""Manifests read back: Parquet, CSV or JSON lines, as `writers` makes them."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError
from ptolemy_core.manifest.schema import MANIFEST_SCHEMA
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_KINDS = {KIND_NAMES[kind]: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A shard, link or empty folder; CIDs are binary, `path` is NUL-joined. See `schema.COLUMNS`."""

    path: bytes
    kind: Kind
    size: int
    mtime: int
    shard: int | None
    start: int
    length: int
    cid: bytes
    file_cid: bytes | None
    container: int
    payload_cid: bytes
    piece_cid: bytes
    car_offset: int
    car_length: int
    scan: int
    current: bool


def read_manifest(path: str) -> Iterator[ManifestRow]:
    """The rows of a manifest.

    Raises:
        SettingsError: it can't be read, or is no manifest.
    """
    try:
        for row in _raw(path):
            yield _row(row)
    except OSError as error:
        raise SettingsError(f"the manifest {path!r} can't be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path!r} is no manifest of {MANIFEST_SCHEMA} ({type(error).__name__}: {error}): give a file that "
            "`ptolemy manifest` wrote, ending in .parquet, .csv or .jsonl"
        ) from None


def _raw(path: str) -> Iterator[dict[str, Any]]:
    if path.endswith(".csv"):
        with open(path, encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    elif path.endswith(".jsonl"):
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)
    elif path.endswith(".parquet"):
        yield from _parquet(path)
    else:
        raise ValueError("its name has another ending")


def _parquet(path: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it takes a while to load
    except ModuleNotFoundError:
        raise SettingsError(
            "a manifest as Parquet needs PyArrow, which isn't installed: `pip install pyarrow`, or use a csv or jsonl"
        ) from None
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _row(row: dict[str, Any]) -> ManifestRow:
    raw = row.get("path_bytes")
    names = raw.replace(b"/", b"\0") if raw is not None else paths.unescape(row["path"])
    return ManifestRow(
        path=names,
        kind=_KINDS[row["kind"]],
        size=int(row["size"]),
        mtime=int(row["mtime_ns"]),
        shard=None if row["shard"] in (None, "") else int(row["shard"]),
        start=int(row["start"]),
        length=int(row["length"]),
        cid=cid.from_text(row["cid"]),
        file_cid=cid.from_text(row["file_cid"]) if row["file_cid"] else None,
        container=int(row["container"]),
        payload_cid=cid.from_text(row["payload_cid"]),
        piece_cid=cid.from_text(row["piece_cid"]),
        car_offset=int(row["car_offset"]),
        car_length=int(row["car_length"]),
        scan=int(row["scan"]),
        current=row["current"] in (True, "true"),
    )
