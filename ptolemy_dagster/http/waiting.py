"""`?wait=60`: an answer that comes when work has ended, or after so many seconds as it is then."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import anyio
from fastapi import Query, Request

MAX_WAIT = 300.0
_POLL = 0.5

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT,
        description="Seconds to wait at most until the work has ended; 0: answer at once.",
        examples=[60],
    ),
]

_T = TypeVar("_T")


async def once(
    request: Request, seconds: float, ask: Callable[[], Awaitable[_T]], is_over: Callable[[_T], bool]
) -> _T:
    """What `ask` says when `is_over` holds of it, or when the seconds are up or the client is gone.

    `ask` runs in a thread, and keeps none while it waits: other requests are answered meanwhile.
    """
    end = time.monotonic() + seconds
    while True:
        found = await ask()
        left = end - time.monotonic()
        if left <= 0 or is_over(found) or await request.is_disconnected():
            return found
        await anyio.sleep(min(_POLL, left))
