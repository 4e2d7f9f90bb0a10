"""Manifests read back: Parquet, CSV or JSON lines, as `writers` makes them."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError
from ptolemy_core.keys import KeyProvider, configured_keys
from ptolemy_core.manifest.schema import ENDING, MANIFEST_SCHEMA
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


def is_encrypted(path: str) -> bool:
    """Whether a manifest's name says that it is encrypted."""
    return path.endswith(ENDING)


def read_manifest(path: str, keys: KeyProvider | None = None) -> Iterator[ManifestRow]:
    """The rows of a manifest, in plain or encrypted.

    Args:
        path: of it.
        keys: for an encrypted one; by default as configured.

    Raises:
        SettingsError: it can't be read, or is no manifest.
        EncryptionError: it is encrypted, and the key isn't there or it is damaged.
    """
    try:
        with _opened(path, keys) as file:
            for row in _raw(file, path.removesuffix(ENDING)):
                yield _row(row)
    except OSError as error:
        raise SettingsError(f"the manifest {path!r} can't be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path!r} is no manifest of {MANIFEST_SCHEMA} ({type(error).__name__}: {error}): give a file that "
            "`ptolemy manifest` wrote, ending in .parquet, .csv or .jsonl, or one of these and .encrypted"
        ) from None


def _opened(path: str, keys: KeyProvider | None) -> AbstractContextManager[BinaryIO]:
    if not is_encrypted(path):
        return open(path, "rb")
    from ptolemy_core.manifest.sealed import unsealed  # it loads ciphers

    return unsealed(path, keys or configured_keys())


def _raw(file: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    if name.endswith(".csv"):
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
    elif name.endswith(".jsonl"):
        with io.TextIOWrapper(file, encoding="utf-8") as text:
            yield from map(json.loads, text)
    elif name.endswith(".parquet"):
        yield from _parquet(file)
    else:
        raise ValueError("its name has another ending")


def _parquet(source: BinaryIO) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it takes a while to load
    except ModuleNotFoundError:
        raise SettingsError(
            "a manifest as Parquet needs PyArrow, which isn't installed: `pip install pyarrow`, or use a csv or jsonl"
        ) from None
    with pq.ParquetFile(source) as file:
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
