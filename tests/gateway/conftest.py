"""The gateway is tested over the stages' projects, under their shrunk profile."""

from tests.stages.conftest import catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]
