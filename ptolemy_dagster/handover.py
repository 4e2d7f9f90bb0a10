"""Dagster's IO manager: what steps hand to the next is in the catalog, so the next step may run on any machine.

Values are stored as JSON. Nothing that is read from the database can run code.
"""

import json
from typing import Any

import dagster as dg

from ptolemy_core.catalog import handover
from ptolemy_dagster.resources import CatalogResource


class CatalogIOManager(dg.ConfigurableIOManager):
    """Keeps steps' small values in the catalog; files in Dagster's home would be visible on one machine only."""

    catalog: dg.ResourceDependency[CatalogResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store an output.

        Raises:
            TypeError: it is no JSON value, or would be another after reading it back (as a tuple is).
        """
        text = json.dumps(obj, ensure_ascii=False, allow_nan=False)
        if json.loads(text) != obj:
            raise TypeError(
                f"step {_key(context)} returned a value that JSON changes: {obj!r}; return lists and dicts"
            )
        handover.put(self.catalog.open(), _key(context), text.encode())

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the output that an input takes."""
        stored = handover.get(self.catalog.open(), _key(context))
        try:
            return json.loads(stored)
        except ValueError:
            raise dg.Failure(
                description=f"the value of step {_key(context)} was stored by an older version of Ptolemy, and isn't "
                "read: start the run again; what is built stays built",
                allow_retries=False,
            ) from None


def _key(context: dg.OutputContext | dg.InputContext) -> str:
    return "/".join(context.get_identifier())
