"""Faults that can be injected: what goes wrong at which route, and how often."""

import threading
from collections import defaultdict

FAULTS = {
    "429": "refused before it is looked at, with Retry-After",
    "500": "an error before it is looked at",
    "503": "an error before it is looked at",
    "500-after": "done, and answered with 500",
    "503-after": "done, and answered with 503, as Curio does after ten seconds",
    "no-answer": "the connection is closed before it is looked at",
    "no-answer-after": "done, and the connection is closed without an answer",
    "cut-after": "done, and the connection is closed in the middle of the answer",
    "slow": "done, and answered after `slow_seconds`",
    "garbage": "an HTML page of somebody else, with status 200",
    "redirect": "a redirect to another host",
    "401": "refused as if the signature were wrong",
}


class Faults:
    """Faults by route, such as `POST /deal` or `GET /status/{id}`; each strikes as often as it was added."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()

    def add(self, route: str, fault: str, times: int = 1) -> None:
        """Let the next requests of a route meet a fault."""
        if fault not in FAULTS:
            raise ValueError(f"no fault {fault!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self._waiting[route] += [fault] * times

    def take(self, route: str) -> str | None:
        """The fault that strikes a request of a route now."""
        with self._lock:
            waiting = self._waiting.get(route)
            return waiting.pop(0) if waiting else None

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._waiting.clear()
