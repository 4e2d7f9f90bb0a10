"""What is known of a run, whether Dagster says it or its storage."""

from collections.abc import Mapping
from dataclasses import dataclass

MATERIALIZE = "materialize"
"""What a run is called whose assets somebody chose in Dagster's web UI: it has no job of its own."""

PARTITION_TAG = "dagster/partition"
"""Dagster's tag of a run that says its partition: a project's name, or the key of a CAR."""

ENDED = ("SUCCESS", "FAILURE", "CANCELED")
"""Statuses of runs that are over."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run.

    Attributes:
        run_id, job: its id, and the name of its job.
        status: in Dagster's words: QUEUED, STARTED, SUCCESS and so on.
        updated: when it was changed last, in seconds.
        tags: its tags; of one that has ended they may be left out.
    """

    run_id: str
    job: str
    status: str
    updated: float
    tags: Mapping[str, str]


def stage_name(job: str) -> str:
    """What people call a run of this job."""
    return MATERIALIZE if job.startswith("__") else job
