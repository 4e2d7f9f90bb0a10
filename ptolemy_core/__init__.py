"""Ptolemy's engine: from a file tree to Filecoin pieces, as plain Python. Imports no Dagster.

The names below are the public API. Each is imported when it is first used, so `import ptolemy_core` is quick and a
program loads only what it needs: hashing a piece doesn't import SQLAlchemy. docs/library.md explains them, and the
scripts in examples/ use them. Everything else may change between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptolemy_core.car.build import BuiltCar
    from ptolemy_core.car.options import BuildOptions
    from ptolemy_core.car.root import root_cid
    from ptolemy_core.car.whole import scan_path
    from ptolemy_core.catalog.store import Catalog
    from ptolemy_core.commp.commitment import PieceCommitment
    from ptolemy_core.commp.piece_cid import piece_cid_v1, piece_cid_v2
    from ptolemy_core.errors import PtolemyError
    from ptolemy_core.layout.table import compute_layout
    from ptolemy_core.project import parse_project
    from ptolemy_core.reader.car import open_car
    from ptolemy_core.reader.hashes import cid_text
    from ptolemy_core.reader.inspection import inspect_car
    from ptolemy_core.reader.verify import verify_car
    from ptolemy_core.restore.extract import Extraction
    from ptolemy_core.staging.build import build_car

__all__ = [
    "BuildOptions",
    "BuiltCar",
    "Catalog",
    "Extraction",
    "PieceCommitment",
    "PtolemyError",
    "build_car",
    "cid_text",
    "compute_layout",
    "inspect_car",
    "open_car",
    "parse_project",
    "piece_cid_v1",
    "piece_cid_v2",
    "root_cid",
    "scan_path",
    "verify_car",
]

_HOME = {
    "BuildOptions": "car.options",
    "BuiltCar": "car.build",
    "Catalog": "catalog.store",
    "Extraction": "restore.extract",
    "PieceCommitment": "commp.commitment",
    "PtolemyError": "errors",
    "build_car": "staging.build",
    "cid_text": "reader.hashes",
    "compute_layout": "layout.table",
    "inspect_car": "reader.inspection",
    "open_car": "reader.car",
    "parse_project": "project",
    "piece_cid_v1": "commp.piece_cid",
    "piece_cid_v2": "commp.piece_cid",
    "root_cid": "car.root",
    "scan_path": "car.whole",
    "verify_car": "reader.verify",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
