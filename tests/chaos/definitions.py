"""Ptolemy with small containers, for the processes of a stack alone: it changes the product's settings."""

from ptolemy_core.project import Project
from tests.chaos import small

Project.car_bytes = small.car_bytes  # type: ignore[method-assign]

from ptolemy_dagster.definitions import defs  # noqa: E402

__all__ = ["defs"]
