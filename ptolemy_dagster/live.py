"""Progress of running work in Dagster's UI: a tag of the run, and an observation of the asset.

The run's tag stands at the top of its page and in the list of runs; the observation is on the asset's page,
under its partition. However many processes build, one of them writes both, every INTERVAL seconds at most.
"""

import time
from collections.abc import Mapping

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ptolemy_core.catalog import Catalog, progress
from ptolemy_core.sizes import readable
from ptolemy_core.stages.pace import Pace, blitz_pace, said
from ptolemy_core.stages.status import standing
from ptolemy_dagster import show

INTERVAL = 30.0
"""Seconds between two notes on one project's work."""

TAG = "ptolemy/progress"
_ASKS = 6
"""How often in an interval a process looks whether it is its turn."""


class Live:
    """Tells of work on one asset's partition while it runs. What it can't write is lost: it is no result."""

    def __init__(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        catalog: Catalog,
        asset: str,
        *,
        at_once: bool,
    ) -> None:
        """Tell through a step's context; `at_once`: work that has just begun is told of, too."""
        self._context = context
        self._catalog = catalog
        self._asset = asset
        self._project: str = context.partition_key
        self._next = 0.0 if at_once else time.monotonic() + INTERVAL / _ASKS

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + INTERVAL / _ASKS
        return progress.my_turn(self._catalog, self._project, self._asset, INTERVAL)

    def _tell(self, text: str, facts: Mapping[str, str | int | dg.MetadataValue]) -> None:
        event = dg.AssetObservation(self._asset, partition=self._project, description=text, metadata=facts)
        self._context.log_event(event)
        self._context.instance.add_run_tags(self._context.run_id, {TAG: text})

    def scanning(self, entries: int, data: int, seconds: float) -> None:
        """Tell of a scan's entries and bytes so far, if it is time."""
        try:
            if self._is_due():
                rate = f"{entries / max(seconds, 1e-3):,.0f} entries/s"
                facts = {"found so far": f"{entries:,} entries", "data so far": show.size(data), "rate": rate}
                self._tell(f"scanning: {entries:,} entries, {readable(data)}, {rate}", facts)
        except SQLAlchemyError:
            self._context.log.debug("progress couldn't be written")

    def building(self) -> None:
        """Tell how far the blitz is, if it is time."""
        try:
            if self._is_due():
                now = standing(self._catalog, self._project)
                pace = blitz_pace(now)
                built = f"{now.built:,} of {now.containers:,} CARs"
                facts = show.pace(pace) | {"CARs": built, "being built": show.task_table(now.tasks)}
                self._tell(f"building: {said(pace)}, {built}", facts)
        except SQLAlchemyError:
            self._context.log.debug("progress couldn't be written")

    def verifying(self, done: int, total: int, seconds: float) -> None:
        """Tell how many bytes of CARs are read back, if it is time."""
        try:
            if self._is_due():
                pace = Pace(done, total, done / max(seconds, 1e-3))
                self._tell(f"verifying: {said(pace)}", show.pace(pace))
        except SQLAlchemyError:
            self._context.log.debug("progress couldn't be written")
