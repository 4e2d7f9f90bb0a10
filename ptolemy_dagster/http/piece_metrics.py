"""What the piece server counts, as Prometheus reads it, and its access log: a line for each request.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/. Queries may hold signatures: the log
leaves them out.
"""

import bisect
import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

log = logging.getLogger("ptolemy.pieces.access")

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram of times to the first byte."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request that came to its end.

    Attributes:
        client: its address.
        method, path: as they were sent, the path without its query.
        route: "piece", "ipfs" or "other".
        status: of the answer; 0 if there was none.
        sent: bytes of the body that were handed to the system.
        seconds: from its headers to its end.
        first: seconds until the first byte of the answer was handed over.
        ending: "" or why it broke off: "changed", "unreadable", "client".
    """

    client: str
    method: str
    path: str
    route: str
    status: int
    sent: int
    seconds: float
    first: float
    ending: str = ""


@dataclass(slots=True)
class Meter:
    """Counts of a server since it started. Any thread may use it."""

    sending: int = 0
    _requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    _sent: Counter[str] = field(default_factory=Counter)
    _broken: Counter[str] = field(default_factory=Counter)
    _first: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    _first_sum: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, served: Served) -> None:
        """Count a request, and write its line."""
        with self._lock:
            self._requests[served.route, served.method, served.status] += 1
            self._sent[served.route] += served.sent
            if served.ending:
                self._broken[served.ending] += 1
            if served.status:
                self._first[bisect.bisect_left(_SECONDS, served.first)] += 1
                self._first_sum += served.first
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        ending = f" broken-off:{served.ending}" if served.ending else ""
        log.info(
            '%s %s "%s %s" %d %d %.3f%s',
            now,
            served.client or "-",
            served.method,
            served.path[:500],
            served.status,
            served.sent,
            served.seconds,
            ending,
        )

    def text(self, connections: int | None, cars: int) -> str:
        """All counts, with the open connections and CARs of now."""
        with self._lock:
            lines = [
                *_metric(
                    "ptolemy_pieces_requests_total",
                    "counter",
                    "Requests that came to their end.",
                    (
                        (f'{{route="{route}",method="{method}",status="{status}"}}', count)
                        for (route, method, status), count in sorted(self._requests.items())
                    ),
                ),
                *_metric(
                    "ptolemy_pieces_sent_bytes_total",
                    "counter",
                    "Bytes of bodies that were sent.",
                    ((f'{{route="{route}"}}', count) for route, count in sorted(self._sent.items())),
                ),
                *_metric(
                    "ptolemy_pieces_broken_total",
                    "counter",
                    "Answers that broke off, by reason.",
                    ((f'{{reason="{why}"}}', count) for why, count in sorted(self._broken.items())),
                ),
                *self._histogram(),
            ]
        lines += _metric(
            "ptolemy_pieces_sending", "gauge", "Bodies that are being sent.", [("", self.sending)]
        )
        lines += _metric("ptolemy_pieces_open_cars", "gauge", "CARs that are open.", [("", cars)])
        if connections is not None:
            lines += _metric("ptolemy_pieces_connections", "gauge", "Open connections.", [("", connections)])
        return "\n".join(lines) + "\n"

    def _histogram(self) -> Iterable[str]:
        name = "ptolemy_pieces_first_byte_seconds"
        yield f"# HELP {name} From a request's headers to the first byte of its answer."
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self._first, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._first_sum:.6f}"
        yield f"{name}_count {total}"


def _metric(name: str, kind: str, help_text: str, values: Iterable[tuple[str, int]]) -> Iterable[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        yield f"{name}{labels} {value}"
