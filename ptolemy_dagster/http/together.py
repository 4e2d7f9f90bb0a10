"""Requests of one kind that wait at the same time are answered together, in one thread and one transaction.

A thread, a statement and a commit for each of them cost more than the answers. Nobody waits for company: the first
request is begun at once, and those that come meanwhile are the next turn.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

_K = TypeVar("_K")
_T = TypeVar("_T")


class Together(Generic[_K, _T]):
    """Answers to requests of one kind."""

    def __init__(
        self, answer: Callable[[Sequence[_K]], Sequence[_T | Exception]], *, threads: int, most: int
    ) -> None:
        """Nothing is started before the first request.

        Args:
            answer: answers some requests: one answer or error for each. What it raises itself is the error of all.
            threads: turns at once.
            most: requests in a turn.
        """
        self._answer = answer
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[tuple[_K, asyncio.Future[_T]]] = deque()
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="together")

    async def ask(self, request: _K) -> _T:
        """The answer to a request; raises its error."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((request, future))
            starts = self._free > 0
            self._free -= starts
        if starts:
            self._pool.submit(self._work)
        return await future

    def _work(self) -> None:
        """Take turns until nobody waits."""
        while turn := self._next():
            try:
                answers = self._answer([request for request, _ in turn])
            except Exception as error:
                answers = [error] * len(turn)
            _hand_out([(future, answer) for (_, future), answer in zip(turn, answers, strict=True)])

    def _next(self) -> list[tuple[_K, "asyncio.Future[_T]"]]:
        with self._lock:
            turn = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            self._free += not turn
            return turn


def _hand_out(answers: Sequence[tuple["asyncio.Future[_T]", _T | Exception]]) -> None:
    """Give answers to those who wait, of each event loop at once."""
    loops = {future.get_loop() for future, _ in answers}
    for loop in loops:
        with suppress(RuntimeError):  # it is closed: nobody waits there any more
            loop.call_soon_threadsafe(
                _settle, [pair for pair in answers if len(loops) == 1 or pair[0].get_loop() is loop]
            )


def _settle(answers: Sequence[tuple["asyncio.Future[_T]", _T | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # its client is gone
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
