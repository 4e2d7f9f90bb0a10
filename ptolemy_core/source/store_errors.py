"""What goes wrong with an object store: what is tried again, and how it is told without secrets.

Texts of a store's errors may hold signatures, tokens and key IDs. So nothing of them is passed on but the HTTP status
and the store's code, which are looked for.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ptolemy_core import environment

PATIENCE_VARIABLE = "PTOLEMY_STORE_PATIENCE"
"""The environment variable with the seconds that a store may be away."""

_default_patience = 300.0
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 20.0
_STATUS = re.compile(r"status code: ([1-5][0-9][0-9])|HTTP ([1-5][0-9][0-9])")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 509})

_T = TypeVar("_T")


class StoreError(Exception):
    """A request failed. Its text is safe to show.

    Attributes:
        status: of HTTP; 0: no answer.
        temporary: whether the same may succeed later.
    """

    def __init__(self, said: str, *, status: int = 0, temporary: bool = False) -> None:
        super().__init__(said)
        self.status = status
        self.temporary = temporary


class GoneError(StoreError):
    """There is no such key."""


class ChangedError(StoreError):
    """The key has another version than the one that was asked for."""


def of_response(status: int, body: bytes, region: str | None = None) -> StoreError:
    """The error of an answer that isn't a success."""
    code = _CODE.search(body[:4096].decode("utf-8", "replace"))
    return _of_status(status, code[1] if code else "", region)


def of_exception(error: BaseException) -> StoreError:
    """The error of what a store's client raised."""
    name, text = type(error).__name__, str(error)
    code = _CODE.search(text)
    found = _STATUS.search(text)
    status = int(found[1] or found[2]) if found else 0
    if isinstance(error, FileNotFoundError) or name == "NotFoundError":
        if code and code[1] == "NoSuchBucket":
            return _of_status(404, code[1])
        return GoneError("no such object", status=404)
    if name in ("PreconditionError", "AlreadyExistsError") or status in (412, 416):
        return ChangedError("it has another version", status=412)
    if status:
        return _of_status(status, code[1] if code else "")
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return _of_status(403, code[1] if code else "")
    if name in ("InvalidPathError", "NotSupportedError", "ValueError"):
        return StoreError("the store's client can't ask for this key")
    if "credential" in text.lower() and "sending request" not in text:
        return StoreError("there are no credentials for it", status=401)
    return StoreError("the connection failed", temporary=True)


def _of_status(status: int, code: str, region: str | None = None) -> StoreError:
    said = f"HTTP {status}" + (f" {code}" if code else "")
    if region:
        return StoreError(f"{said}: the bucket is in region {region}, set AWS_REGION to it", status=status)
    if status in (401, 403):
        said += ": the credentials don't allow it"
    return StoreError(said, status=status, temporary=status in _RETRIED)


def patience() -> float:
    """Seconds that a store may be away before work with it fails."""
    return environment.seconds(PATIENCE_VARIABLE, _default_patience)


def set_patience(seconds: float) -> None:
    """Let this process wait so long where the environment says nothing: a server's clients want to know soon."""
    global _default_patience
    _default_patience = seconds


@dataclass(slots=True)
class Retry:
    """Waits between tries, longer each time; the time starts again with each success.

    Attributes:
        seconds: that tries may fail in a row.
        stop: ends the waiting early.
    """

    seconds: float
    stop: threading.Event | None = None
    _failing_since: float | None = None
    _wait: float = _FIRST_WAIT

    def succeeded(self) -> None:
        """Something arrived."""
        self._failing_since, self._wait = None, _FIRST_WAIT

    def wait_after(self, error: StoreError) -> None:
        """Wait until the next try.

        Raises:
            StoreError: the error, if it isn't temporary or the time is over.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if not error.temporary or now - self._failing_since > self.seconds:
            raise error
        pause = self._wait * (0.5 + random.random() / 2)
        if self.stop is None:
            time.sleep(pause)
        elif self.stop.wait(pause):
            raise error
        self._wait = min(2 * self._wait, _LONGEST_WAIT)


def retried(call: Callable[[], _T], seconds: float | None = None) -> _T:
    """What a call returns that may be made again.

    Raises:
        StoreError: it failed for good, or for too long.
    """
    retry = Retry(patience() if seconds is None else seconds)
    while True:
        try:
            return call()
        except StoreError as error:
            retry.wait_after(error)
