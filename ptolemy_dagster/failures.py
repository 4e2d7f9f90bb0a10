"""A user's errors become Dagster failures: their message without a traceback, and no useless retry."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ptolemy_core.errors import PtolemyError, UnavailableError

AGAIN = dg.RetryPolicy(max_retries=2, delay=1)
"""For all steps: one whose process died is done again. It costs nothing else, as a user's errors aren't retried."""


@contextmanager
def as_failure() -> Iterator[None]:
    """Turn a PtolemyError within the block into a Failure.

    It isn't retried, as trying again changes nothing, unless it is the database that is away.
    """
    try:
        yield
    except UnavailableError as error:
        raise dg.Failure(description=str(error), allow_retries=True) from None
    except PtolemyError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
