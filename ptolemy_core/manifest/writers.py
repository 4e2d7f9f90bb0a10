"""Writing rows as Parquet, CSV or JSON lines, page by page, into a file that appears when it is whole."""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from ptolemy_core.errors import SettingsError, StagingError
from ptolemy_core.manifest.rows import Page
from ptolemy_core.manifest.schema import COLUMNS, MANIFEST_SCHEMA
from ptolemy_core.staging.attempts import PART
from ptolemy_core.staging.output import sync_folder

_ROW_GROUP = 1 << 16
_TEXT = [k for k, column in enumerate(COLUMNS) if column.type != "binary"]
_TEXT_NAMES = [COLUMNS[k].name for k in _TEXT]


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that replaces what is at `path` when the block ends well, and is gone when it doesn't.

    Raises:
        StagingError: the folder can't be written, or its disk fails.
    """
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{os.getpid()}{PART}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(folder)
    except OSError as error:
        raise StagingError(
            f"{path} can't be written ({error.strerror}): give another folder with --to, or free space"
        ) from error
    finally:
        with suppress(OSError):
            os.unlink(part)


@contextmanager
def writer(file: IO[bytes], form: str, facts: dict[str, str]) -> Iterator[Callable[[Page], None]]:
    """Takes pages, and writes them in this format.

    Args:
        file: to write to.
        form: one of `FORMATS`.
        facts: go into the metadata of a Parquet file, beside the schema's version.
    """
    with {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}[form](file, facts) as write:
        yield write


@contextmanager
def _parquet(file: IO[bytes], facts: dict[str, str]) -> Iterator[Callable[[Page], None]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # it takes a while to load
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise SettingsError(
            "a manifest as Parquet needs PyArrow, which isn't installed: run `pip install pyarrow` (with pipx: `pipx "
            "inject ptolemy pyarrow`), or use format csv or jsonl"
        ) from None

    fields = [
        pa.field(name, getattr(pa, kind + "_" if kind == "bool" else kind)(), nullable, {"meaning": meaning})
        for name, kind, nullable, meaning in COLUMNS
    ]
    schema = pa.schema(fields, {"ptolemy.schema": MANIFEST_SCHEMA, **facts})
    pending: list[Any] = []

    def flush() -> None:
        table = pa.concat_tables(pending).combine_chunks()
        out.write_table(table, row_group_size=_ROW_GROUP)
        pending.clear()

    def write(page: Page) -> None:
        arrays = [pa.array(values, field.type) for values, field in zip(page, fields, strict=True)]
        pending.append(pa.Table.from_arrays(arrays, schema=schema))
        if sum(len(table) for table in pending) >= _ROW_GROUP:
            flush()

    with pq.ParquetWriter(file, schema, compression="zstd") as out:
        yield write
        if pending:
            flush()


@contextmanager
def _csv(file: IO[bytes], facts: dict[str, str]) -> Iterator[Callable[[Page], None]]:
    out = csv.writer(_Encoded(file), lineterminator="\n")
    out.writerow(_TEXT_NAMES)

    def write(page: Page) -> None:
        out.writerows(zip(*(_plain(page[k], COLUMNS[k].type) for k in _TEXT), strict=True))

    yield write


def _plain(values: Sequence[Any], kind: str) -> Sequence[Any]:
    return [("false", "true")[value] for value in values] if kind == "bool" else values


@contextmanager
def _json_lines(file: IO[bytes], facts: dict[str, str]) -> Iterator[Callable[[Page], None]]:
    def write(page: Page) -> None:
        for row in zip(*(page[k] for k in _TEXT), strict=True):
            line = dict(zip(_TEXT_NAMES, row, strict=True))
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    yield write


class _Encoded:
    """A text file's `write` for the csv module."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def sha256_of(path: str) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
