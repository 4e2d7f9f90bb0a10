"""Restores files, folders and whole projects from CARs, each block's hash checked before its bytes are kept.

`Extraction` needs CARs alone, of any writer; `ProjectRestore` knows from the catalog which CARs hold what.
"""

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
