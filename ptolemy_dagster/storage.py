"""The storage under the name that dagster.yaml gives it, in homes that exist already too."""

from ptolemy_dagster.internals.storage import PtolemyStorage

__all__ = ["PtolemyStorage"]
