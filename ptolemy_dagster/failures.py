"""A user's errors become Dagster failures: their message without a traceback, and no useless retry."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from ptolemy_core.errors import PtolemyError, UnavailableError

AGAIN = dg.RetryPolicy(max_retries=2, delay=1)
"""For all steps: one whose process died is done again. It costs nothing else, as a user's errors aren't retried."""


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
