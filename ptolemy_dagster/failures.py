"""A user's errors become Dagster failures: their message without a traceback, and no useless retry."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ptolemy_core.errors import PtolemyError

AGAIN = dg.RetryPolicy(max_retries=2, delay=1)
"""For all steps: one whose process died is done again. It costs nothing else, as a user's errors aren't retried."""


@contextmanager
def as_failure() -> Iterator[None]:
    """Turn a PtolemyError within the block into a Failure that isn't retried: trying again changes nothing."""
    try:
        yield
    except PtolemyError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
