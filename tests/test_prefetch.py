"""An iterator run by a thread gives what it would give without one."""

import threading
from collections.abc import Iterator

import pytest

from ptolemy_core.prefetch import prefetch


@pytest.mark.parametrize("depth", [1, 4, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_values_come_in_order(count: int, depth: int) -> None:
    assert list(prefetch(iter(range(count)), depth)) == list(range(count))


def test_what_the_iterator_raises_comes_in_its_place() -> None:
    def values() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    taken = []
    with pytest.raises(KeyError, match="two"):
        for value in prefetch(values()):
            taken.append(value)
    assert taken == [1]


def test_the_thread_is_ahead_by_its_depth_and_ends_with_the_caller() -> None:
    made, ahead_by_two = [], threading.Event()

    def values() -> Iterator[int]:
        for value in range(1000):
            made.append(value)
            if value == 2:
                ahead_by_two.set()
            yield value

    running = prefetch(values(), depth=2)
    assert next(running) == 0
    assert ahead_by_two.wait(30), "nobody asked for it yet"
    running.close()
    assert len(made) < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
