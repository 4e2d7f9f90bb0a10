"""When Postgres goes away: new connections wait until it is back, and idempotent work is done again.

A connection that breaks takes its transaction with it. Whether a commit just before that came through isn't
known, so only what may be done twice is done again: see `survives_outage`.
"""

import functools
import logging
import math
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ptolemy_core import environment
from ptolemy_core.errors import UnavailableError

PATIENCE = "PTOLEMY_PG_PATIENCE"
"""The environment variable with the seconds to wait for a Postgres that doesn't answer."""

_DEFAULT_PATIENCE = 30.0
_longest_patience = math.inf
_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_PASSING = ("starting up", "shutting down", "recovery", "not yet accepting", "too many clients", "slots")
"""Words of refusals that pass by themselves; others, as a wrong password, are for a person."""

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


_AWAY = (UnavailableError, sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
"""A server that is down, drops the connection, refuses it, or has none left."""


class LostConnectionError(Exception):
    """The connection broke, or the lock that it kept is gone."""


DATABASE_ERRORS = (LostConnectionError, sa.exc.DBAPIError)
"""What a query raises that the database didn't answer as it should."""


def patience() -> float:
    """Seconds to wait for a Postgres that doesn't answer.

    Raises:
        SettingsError: the environment says something else than a number.
    """
    return min(environment.seconds(PATIENCE, _DEFAULT_PATIENCE), _longest_patience)


def limit_patience(seconds: float) -> None:
    """Let this process wait no longer than this: a server tells its clients soon, and they ask again."""
    global _longest_patience
    _longest_patience = seconds


def is_away(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that the database doesn't answer or can't be worked with."""
    while error is not None:
        if isinstance(error, _AWAY) or is_lost(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the connection to the database broke."""
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated
    return isinstance(error, LostConnectionError)


def survives_outage(work: Callable[P, T]) -> Callable[P, T]:
    """Decorate work that may be done twice: it is done again when the connection breaks under it.

    Raises:
        UnavailableError: the connection broke again and again.
    """

    @functools.wraps(work)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        for number in range(_TRIES):
            try:
                return work(*args, **kwargs)
            except Exception as error:
                if not is_lost(error):
                    raise
                lost = error
                _log.warning("the database connection broke during %s, which is repeated", work.__name__)
            time.sleep(min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE))
        raise UnavailableError(
            f"the database broke the connection {_TRIES} times in a row ({_reason(lost)}): see its log, "
            "then run this again: it resumes where it stopped"
        ) from lost

    return patient


def connect_patiently(engine: Engine) -> None:
    """Make new connections of a Postgres engine wait for a server that is down or starting.

    They raise UnavailableError after `patience()` seconds, and at once what waiting doesn't change.
    """

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _: Any, arguments: Any, options: Any) -> Any:
        end = time.monotonic() + patience()
        pause = _FIRST_PAUSE
        while True:
            try:
                return dialect.connect(*arguments, **options)
            except dialect.dbapi.OperationalError as error:
                if not _passes(str(error)):
                    raise
                if time.monotonic() + pause >= end:
                    raise UnavailableError(
                        f"Postgres at {_place(engine)} didn't answer for {patience():g} s ({_reason(error)}): "
                        "start it or check PTOLEMY_PG_URL, then run this again: it resumes where it stopped"
                    ) from error
                if pause == _FIRST_PAUSE:
                    _log.warning(
                        "Postgres at %s doesn't answer (%s), waiting for it", _place(engine), _reason(error)
                    )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _passes(message: str) -> bool:
    if "FATAL:" in message:
        return any(words in message for words in _PASSING)
    return "translate host name" not in message


def _place(engine: Engine) -> str:
    """Host, port and database: what of the URL may be shown."""
    url = engine.url
    return f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"


def _reason(error: BaseException) -> str:
    lines = str(getattr(error, "orig", error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
