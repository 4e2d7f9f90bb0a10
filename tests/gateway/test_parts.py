"""Memory of parts: shared by bodies of the same bytes, bounded, and used again."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ptolemy_core.gateway.parts import SIZES, Parts

KEY = (b"piece", 0, 1000)
SMALL = SIZES[0]


def reserved(parts: Parts, size: int = SMALL) -> int:
    assert parts.reserve(size)
    return size


def filled(value: int, made: list[int]) -> Callable[[memoryview], None]:
    def fill(view: memoryview) -> None:
        made.append(value)
        view[:] = bytes([value]) * len(view)

    return fill


def test_bodies_that_want_the_same_bytes_at_once_share_one_reading() -> None:
    parts, begun, go = Parts(), threading.Event(), threading.Event()
    made: list[int] = []

    def fill(view: memoryview) -> None:
        begun.set()
        assert go.wait(10)
        made.append(1)
        view[:] = b"x" * len(view)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            reserved(parts)
        first = pool.submit(parts.get, KEY, SMALL, fill)
        assert begun.wait(10)
        others = [pool.submit(parts.get, KEY, SMALL, fill) for _ in range(7)]
        go.set()
        found = {one.result(10) for one in (first, *others)}
    assert made == [1]
    (part,) = found
    assert bytes(part.data) == b"x" * 1000
    assert parts.used == SMALL  # however many send it
    for _ in range(8):
        parts.release(part)
    assert parts.used == 0


def test_what_was_sent_is_there_for_the_next_body_while_others_are_sent() -> None:
    parts = Parts()
    made: list[int] = []
    parts.bodies = 3
    other = parts.get((b"other", 0, 10), reserved(parts), filled(1, made))
    parts.release(parts.get(KEY, reserved(parts), filled(2, made)))
    again = parts.get(KEY, reserved(parts), filled(3, made))
    assert bytes(again.data) == b"\2" * 1000
    parts.release(again)
    parts.release(other)
    assert made == [1, 2]
    # nothing is sent any more: the next one reads, and sees whether the source is still the same
    parts.get(KEY, reserved(parts), filled(4, made))
    assert made == [1, 2, 4]


def test_memory_is_bounded_used_again_and_no_bytes_get_into_parts_that_are_sent() -> None:
    parts = Parts(limit=10 * SMALL)
    made: list[int] = []
    parts.bodies = 100
    sent = [parts.get((b"sent", k, 100), reserved(parts), filled(k, made)) for k in range(4)]
    for k in range(100):
        part = parts.get((b"passing", k, 100), reserved(parts), filled(99, made))
        parts.release(part)
        assert parts._mapped <= 10 * SMALL
    assert [bytes(part.data) for part in sent] == [bytes([k]) * 100 for k in range(4)]
    assert not parts.reserve(7 * SMALL)
    assert parts.reserve(6 * SMALL)
    assert not parts.reserve(SMALL)
    assert parts.reserve(SMALL, anyway=True)


def test_what_cannot_be_read_gives_its_memory_back_and_the_next_body_tries_itself() -> None:
    parts = Parts()

    def fill(view: memoryview) -> None:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            parts.get(KEY, reserved(parts), fill)
        assert parts.used == 0
    made: list[int] = []
    parts.get(KEY, reserved(parts), filled(1, made))
    assert made == [1]
