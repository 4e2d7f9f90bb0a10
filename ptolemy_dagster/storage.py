"""The storage, and the keeper of what steps print, under the names that dagster.yaml gives them."""

from ptolemy_dagster.internals.compute_logs import StepLogs
from ptolemy_dagster.internals.storage import PtolemyStorage

__all__ = ["PtolemyStorage", "StepLogs"]
