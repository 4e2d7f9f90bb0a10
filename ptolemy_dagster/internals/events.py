"""CARs' events: materializations of asset `car`, written several at once."""

import os
import time
import uuid

import dagster as dg
from dagster._core.events import DagsterEventBatchMetadata

from ptolemy_core.catalog.cars import CarRow
from ptolemy_dagster import show
from ptolemy_dagster.partitions import car_key

_MOST = 100
_LONGEST = 5.0
"""Seconds that an event waits at most for others; so the events of CARs that take longer come at once."""


class CarEvents:
    """Events of CARs that were built, written in batches.

    A process that is killed takes the unwritten ones with it; the seal writes them from the CARs' receipts.
    """

    def __init__(self, context: dg.OpExecutionContext, project: str) -> None:
        os.environ.setdefault(
            "DAGSTER_EVENT_BATCH_SIZE", str(_MOST)
        )  # without it Dagster takes batches apart
        self._context = context
        self._project = project
        self._waiting: list[CarRow] = []
        self._written = 0.0

    def add(self, built: CarRow) -> None:
        """Take the event of a CAR."""
        self._waiting.append(built)
        if len(self._waiting) >= _MOST or time.monotonic() - self._written > _LONGEST:
            self.write()

    def write(self) -> None:
        """Write the events that wait: call it at the end."""
        step = self._context.get_step_execution_context()
        batch = uuid.uuid4().hex
        waiting, self._waiting = self._waiting, []
        self._written = time.monotonic()
        for number, built in enumerate(waiting, 1):
            made = dg.AssetMaterialization(
                "car", partition=car_key(self._project, built.number), metadata=show.car_metadata(built)
            )
            end = number == len(waiting)
            dg.DagsterEvent.asset_materialization(step, made, DagsterEventBatchMetadata(batch, end))
