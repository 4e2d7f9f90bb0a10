"""One HTTP request and its answer, with the differences that matter for deals: not sent, no answer, an answer.

A transport is one function of a request; everything else is built on it. The usual one is `http_transport`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Body(Protocol):
    """A body that is read while it is sent; `len` is its size."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; none at the end."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Neither headers nor body are shown by `repr`.

    Attributes:
        method, url: of the request.
        headers: all that are to be sent.
        body: what is sent; None: nothing.
        seconds: for connecting, and for each wait for the server.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Body | None = field(default=None, repr=False)
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: its number.
        headers: with their names in lower case.
        body: its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class NotSentError(Exception):
    """The request didn't leave: no connection, no such host, no valid certificate."""


class NoAnswerError(Exception):
    """The request left or may have, and no whole answer came."""


class Transport(Protocol):
    """Sends a request."""

    def __call__(self, request: Request) -> Answer:
        """The answer.

        Raises:
            NotSentError: the server can't have seen the request.
            NoAnswerError: it may have.
        """
