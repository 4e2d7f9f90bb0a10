"""Restores files, folders and whole projects from CARs, each block's hash checked before its bytes are kept.

`Extraction` needs CARs alone, of any writer; `ProjectRestore` knows from the catalog which CARs hold what. Each is
imported when it is first used: an extraction needs no database, and a scan none of both.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptolemy_core.restore.extract import CarsError, Extraction
    from ptolemy_core.restore.measure import LimitError, Limits
    from ptolemy_core.restore.project import NeededCar, Needs, ProjectRestore, RestoreError
    from ptolemy_core.restore.report import Report
    from ptolemy_core.restore.target import TargetError

__all__ = [
    "CarsError",
    "Extraction",
    "LimitError",
    "Limits",
    "NeededCar",
    "Needs",
    "ProjectRestore",
    "Report",
    "RestoreError",
    "TargetError",
]

_MODULES = {
    "CarsError": "extract",
    "Extraction": "extract",
    "LimitError": "measure",
    "Limits": "measure",
    "NeededCar": "project",
    "Needs": "project",
    "ProjectRestore": "project",
    "Report": "report",
    "RestoreError": "project",
    "TargetError": "target",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
