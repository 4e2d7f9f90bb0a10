"""A project with its stages, as the tests of stages have it."""

from tests.stages.conftest import catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]
