"""Progress of running work in Dagster's UI: a tag of the run, and an observation of the asset.

The tag is in the list of runs, the observation on the asset's page while it is materialized. However
many processes build, one of them writes both, every INTERVAL seconds at most.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ptolemy_core.catalog import Catalog, progress
from ptolemy_core.sizes import readable
from ptolemy_core.status.rate import Progress, blitz_progress, describe, rate
from ptolemy_core.status.state import project_state
from ptolemy_dagster import show

INTERVAL = 30.0
"""Seconds between two notes on one project's work."""

TAG = "progress"
_ASKS = 6
"""How often in an interval a process looks whether it is its turn."""

_Facts = Mapping[str, str | int | dg.MetadataValue]


class Live:
    """Tells of work on a partition while it runs. What can't be written is lost: it is news, no result."""

    def __init__(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        catalog: Catalog,
        work: str,
        *,
        at_once: bool = False,
    ) -> None:
        """Tell through a step's context; `at_once`: also of work that has just begun."""
        self._context = context
        self._catalog = catalog
        self._work = work
        self._project: str = context.partition_key
        self._started = time.monotonic()
        self._entries = self._data = 0
        self._next = self._started if at_once else self._started + INTERVAL / _ASKS

    def scanning(self, entries: int, data: int) -> None:
        """Count entries and bytes that a scan found, and tell of them if it is time."""
        self._entries += entries
        self._data += data
        if not self._may_ask():
            return
        with self._turn() as mine:
            if mine:
                speed = f"{rate(self._entries, self._seconds):,.0f} entries/s"
                facts = {
                    "entries so far": f"{self._entries:,}",
                    "data so far": show.size(self._data),
                    "rate": speed,
                }
                self._observe("scan_result", facts)
                self._tag(f"scan {self._entries:,} entries, {readable(self._data)}, {speed}")

    def building(self) -> None:
        """Tell how far the blitz is, if it is time."""
        if not self._may_ask():
            return
        with self._turn() as mine:
            if mine:
                now = project_state(self._catalog, self._project)
                whole = blitz_progress(now)
                built = f"{now.built:,} of {now.containers:,}"
                facts = show.progress(whole)
                facts |= {"CARs built": built, "being built": show.task_table(now.tasks)}
                self._observe("built_cars", facts)
                self._tag(f"build {describe(whole)}, {built} CARs")

    def verifying(self, done: int, total: int) -> None:
        """Tell how many bytes of CARs are read back, if it is time."""
        if not self._may_ask():
            return
        with self._turn() as mine:
            if mine:
                # no observation: it would be above the CARs' metadata when all is verified
                self._tag(f"verify {describe(Progress(done, total, rate(done, self._seconds)))}")

    def ended(self, text: str) -> None:
        """Leave the result where the progress was."""
        with self._lost_is_lost():
            self._tag(text)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + INTERVAL / _ASKS
        return True

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        mine = False
        with suppress(SQLAlchemyError):
            mine = progress.my_turn(self._catalog, self._project, self._work, INTERVAL)
        with self._lost_is_lost():
            yield mine

    @contextmanager
    def _lost_is_lost(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            self._context.log.debug(f"progress couldn't be written: {type(error).__name__}")

    def _observe(self, asset: str, facts: _Facts) -> None:
        self._context.log_event(dg.AssetObservation(asset, partition=self._project, metadata=facts))

    def _tag(self, text: str) -> None:
        self._context.instance.add_run_tags(self._context.run.run_id, {TAG: text})
