"""Columns of a manifest. A change of their names, types or meaning is a new version."""

import importlib.util
from typing import NamedTuple

MANIFEST_SCHEMA = "ptolemy-manifest/1"
SUMMARY_SCHEMA = "ptolemy-summary/2"
FOLDER = "manifests"
"""Within the staging folder, where nothing else is said."""

ENDING = ".encrypted"
"""Behind the name of an encrypted manifest."""

FORMATS = ("parquet", "csv", "jsonl")


def default_format() -> str:
    """Parquet if PyArrow is installed, otherwise CSV."""
    try:
        return "parquet" if importlib.util.find_spec("pyarrow") else "csv"
    except ModuleNotFoundError:  # an import hook hides it
        return "csv"


class Column(NamedTuple):
    """A column: its name, its type in Arrow's words, whether it may be empty, and what it says."""

    name: str
    type: str
    nullable: bool
    meaning: str


COLUMNS = (
    Column("path", "string", False, "names below target_dir joined by /, escaped (see docs/manifests.md)"),
    Column("path_bytes", "binary", False, "the same path as the file system has it; in Parquet only"),
    Column("kind", "string", False, "file, symlink, or directory: an empty one"),
    Column("size", "int64", False, "bytes of the whole file; of a link: of its target's name"),
    Column("mtime_ns", "int64", False, "modification time when it was scanned, nanoseconds since 1970"),
    Column("shard", "int32", True, "number of the shard of a split file, from 0; empty: the whole file"),
    Column("start", "int64", False, "first byte of the shard in its file"),
    Column("length", "int64", False, "bytes of the shard"),
    Column("cid", "string", False, "CID of the shard, link or folder"),
    Column("file_cid", "string", True, "CID of the whole file; empty while other shards aren't built"),
    Column("container", "int32", False, "number of the CAR within the project"),
    Column("payload_cid", "string", False, "root CID of the CAR"),
    Column("piece_cid", "string", False, "piece CID v1; the CAR's file is <piece_cid>.car"),
    Column("car_offset", "int64", False, "first byte in the CAR of the sections of this row"),
    Column("car_length", "int64", False, "bytes of those sections"),
    Column("scan", "int64", False, "the scan that found this version of the file"),
    Column("current", "bool", False, "false once a later scan found the file changed or gone"),
    Column(
        "sha256",
        "string",
        True,
        "of the whole file as the source has it, in hex; empty if it wasn't recorded",
    ),
)
