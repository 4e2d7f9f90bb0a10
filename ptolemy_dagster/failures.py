"""A user's errors as Dagster failures, without a traceback or a useless retry; and the reasons of failed runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ptolemy_core import errors as kinds
from ptolemy_core.errors import PtolemyError, UnavailableError

AGAIN = dg.RetryPolicy(max_retries=2, delay=1)
"""For all steps: one whose process died is done again. It costs nothing else, as a user's errors aren't retried."""


REASON = "reason"
"""Tag of a failed run: why it failed."""
_TAG_LENGTH = 250
CODE = "error code"
"""Name of the failure's metadata that holds the code, or the codes, of docs/errors.md."""


def failure(errors: Sequence[PtolemyError], description: str | None = None) -> dg.Failure:
    """A failure of Dagster for these errors, with their codes in its metadata.

    It isn't retried, as trying again changes nothing, unless the database is what is away.

    Args:
        errors: that the step ended with, one at least.
        description: what to say instead of the errors' messages.
    """
    return dg.Failure(
        description=description or "\n".join(map(str, errors)),
        metadata={CODE: ", ".join(sorted({error.code for error in errors}))},
        allow_retries=all(isinstance(error, UnavailableError) for error in errors),
    )


@contextmanager
def as_failure() -> Iterator[None]:
    """Turn a PtolemyError within the block into a Failure."""
    try:
        yield
    except PtolemyError as error:
        raise failure([error]) from None


_STEPS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
_CHECK_FAILED = "DagsterAssetCheckFailedError"
"""What Dagster raises after a check that failed: the check's own words say more."""


@dataclass(frozen=True, slots=True)
class WhyFailed:
    """What failed steps and checks of a run said, and the codes of their errors."""

    reasons: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """The reasons, a line each; None if there is none."""
        return "\n".join(self.reasons) or None

    @property
    def code(self) -> str | None:
        """The code of the errors, if all of them have the same one."""
        return self.codes[0] if len(set(self.codes)) == 1 else None


def why_failed(instance: dg.DagsterInstance, run_id: str) -> WhyFailed:
    """Why a run failed, from its events."""
    reasons: list[str] = []
    codes: list[str] = []
    for record in instance.all_logs(run_id, of_type=_STEPS):
        event = record.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                codes.append("check-failed")
                reasons.append(check.description or f"check {check.check_name} failed")
            continue
        data = event.step_failure_data
        cause = data.error.cause if data.error else None
        if data.user_failure_data and data.user_failure_data.description:
            reasons.append(data.user_failure_data.description)
            codes += _codes(data.user_failure_data.metadata)
        elif data.error and data.error.cls_name != _CHECK_FAILED:
            reasons.append((cause or data.error).message.strip())
    return WhyFailed(list(dict.fromkeys(reasons)), codes)


def why_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WhyFailed:
    """Why a run that failed did so: what its steps said, or else what Dagster says of the run."""
    if run.status != dg.DagsterRunStatus.FAILURE:
        return WhyFailed()
    found = why_failed(instance, run.run_id)
    if found.reasons:
        return found
    events = instance.all_logs(run.run_id, of_type={dg.DagsterEventType.RUN_FAILURE})
    refused = [why for one in events if (why := _refusal(one.dagster_event)) is not None]
    if refused:
        return refused[-1]
    said = [one.dagster_event.message for one in events if one.dagster_event and one.dagster_event.message]
    return WhyFailed(said[-1:] or ["its process ended before the step did: see its log in Dagster's web UI"])


def _refusal(event: dg.DagsterEvent | None) -> WhyFailed | None:
    """Why a run ended before its first step: an error of a user that its executor raised; None if it wasn't one."""
    data: Any = event.event_specific_data if event is not None else None
    error = data.error if data is not None else None  # without data: Dagster says that its process ended
    kind = getattr(kinds, error.cls_name or "", None) if error is not None else None
    if error is None or not (isinstance(kind, type) and issubclass(kind, PtolemyError)):
        return None
    return WhyFailed([error.message.partition(": ")[2].strip()], [kind.code])


def tag_reason(instance: dg.DagsterInstance, run_id: str, reason: str) -> None:
    """Show why a run failed in the list of runs."""
    line = reason.splitlines()[0] if reason else ""
    instance.add_run_tags(run_id, {REASON: line[:_TAG_LENGTH]})


def _codes(metadata: Mapping[str, dg.MetadataValue[Any]]) -> list[str]:
    found = metadata.get(CODE)
    return str(found.value).split(", ") if found is not None else []
