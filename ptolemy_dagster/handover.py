"""Dagster's IO manager: what steps hand on is in the catalog, so the next step may run on any machine."""

import pickle
from typing import Any

import dagster as dg

from ptolemy_core.catalog import handover
from ptolemy_dagster.resources import CatalogResource


class CatalogIOManager(dg.ConfigurableIOManager):
    """Keeps steps' small values in the catalog; files of Dagster's home would be seen on one machine alone."""

    catalog: dg.ResourceDependency[CatalogResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Keep an output."""
        handover.put(self.catalog.open(), _key(context), pickle.dumps(obj))

    def load_input(self, context: dg.InputContext) -> Any:
        """The output that an input is."""
        return pickle.loads(handover.get(self.catalog.open(), _key(context)))


def _key(context: dg.OutputContext | dg.InputContext) -> str:
    return "/".join(context.get_identifier())
