"""Restores files, folders and whole projects from CARs, each block's hash checked before its bytes are kept.

`Extraction` needs CARs alone, of any writer; `ProjectRestore` knows from the catalog which CARs hold what. It is
imported when it is first used, so that an extraction needs no database.
"""

from typing import TYPE_CHECKING, Any

from ptolemy_core.restore.extract import CarsError, Extraction
from ptolemy_core.restore.measure import LimitError, Limits
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.target import TargetError

if TYPE_CHECKING:
    from ptolemy_core.restore.project import NeededCar, Needs, ProjectRestore, RestoreError

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

_OF_PROJECTS = ("NeededCar", "Needs", "ProjectRestore", "RestoreError")


def __getattr__(name: str) -> Any:
    if name in _OF_PROJECTS:
        from ptolemy_core.restore import project

        return getattr(project, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
