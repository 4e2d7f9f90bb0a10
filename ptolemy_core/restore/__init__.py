"""Restores files, folders and whole projects from CARs, each block's hash checked before its bytes are kept.

`Extraction` needs CARs alone, of any writer; `restore_project` knows from the catalog which CARs hold what.
"""

from ptolemy_core.restore.extract import CarsError, Extraction
from ptolemy_core.restore.target import TargetError
from ptolemy_core.restore.write import Report

__all__ = ["CarsError", "Extraction", "Report", "TargetError"]
