"""Requests to end, of a person, a supervisor or a terminal that closed: SIGINT, SIGTERM and SIGHUP.

`interruptible` makes all three raise KeyboardInterrupt; `deferred` keeps them for a moment when all is tidy.

Python raises an interrupt between any two statements: also between a CAR's name and its receipt, or within the very
clean-up that an interrupt calls for.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ASKS_AGAIN = 5.0
"""Seconds after which another interrupt isn't the first's echo, but a person who won't wait."""

Handler = Callable[[int, FrameType | None], object]


class Deferral:
    """Interrupts while a `deferred` block lasts."""

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._came: tuple[int, FrameType | None] | None = None
        self._since = 0.0
        self._lets_through = False

    def check(self) -> None:
        """Do now what an interrupt that came meanwhile asks for: mostly, raise.

        Raises:
            BaseException: what the handler raises that the block found, a KeyboardInterrupt as a rule.
        """
        if self._came is not None:
            (number, frame), self._came = self._came, None
            self._handlers[number](number, frame)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let an interrupt through at once while the block lasts: there is nothing in it to leave tidy."""
        self.check()
        self._lets_through = True
        try:
            yield
        finally:
            self._lets_through = False

    def _take(self) -> None:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):  # what ends the process at once, or is ignored, stays as it is
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def _give_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came is None:
            self._came, self._since = (number, frame), time.monotonic()
            if self._lets_through:
                self._lets_through = False  # what comes next may interrupt the clean-up
                self.check()
        elif time.monotonic() - self._since > _ASKS_AGAIN:
            self.check()


_active: list[Deferral] = []
"""The main thread's blocks that keep interrupts, the inner ones last."""


def check() -> None:
    """Do now what an interrupt asks for that a `deferred` block around the caller keeps; for loops that take long."""
    if threading.current_thread() is threading.main_thread():
        for deferral in reversed(_active):  # an inner one hands its interrupt to the one around it
            deferral.check()


@contextmanager
def let_through() -> Iterator[None]:
    """Let interrupts that an enclosing `deferred` block keeps through at once: see `Deferral.interruptible`."""
    if not _active or threading.current_thread() is not threading.main_thread():
        yield
        return
    check()
    with _active[-1].interruptible():
        yield


@contextmanager
def deferred() -> Iterator[Deferral]:
    """Keep interrupts until `check` is called, the block ends, or one comes again seconds later.

    In other threads than the main one, which Python doesn't interrupt, nothing is kept.
    """
    deferral = Deferral()
    if threading.current_thread() is not threading.main_thread():
        yield deferral
        return
    _active.append(deferral)
    try:
        deferral._take()
        yield deferral
    finally:
        _active.remove(deferral)
        deferral._give_back()
        deferral.check()


class Interrupted(KeyboardInterrupt):
    """A request to end by a signal other than SIGINT.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt while the block lasts, as Ctrl-C does.

    A signal that is ignored stays so: `nohup` ignores SIGHUP. In other threads than the main one nothing changes.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    changed = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
