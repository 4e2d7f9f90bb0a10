"""Interrupts that come where nothing may be left half done."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ptolemy_core import interrupts
from ptolemy_core.interrupts import deferred


class Interrupted(Exception):
    """What the handler of these tests raises."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise Interrupted(number)

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(Interrupted), deferred():
        interrupt()
        done.append("all")
    assert done == ["all"]


def test_an_interrupt_is_raised_where_it_is_asked_for_and_once() -> None:
    done = []
    with pytest.raises(Interrupted), deferred() as deferral:
        deferral.check()
        done.append("before")
        interrupt()
        deferral.check()
        done.append("behind")
    assert done == ["before"]


def test_a_ctrl_c_is_held_too() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("all")
    assert done == ["all"]


def test_the_echo_of_an_interrupt_is_no_second_one() -> None:
    done = []
    with pytest.raises(Interrupted), deferred():
        interrupt()
        interrupt()
        done.append("all")
    assert done == ["all"]


def test_who_asks_again_later_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_ASKS_AGAIN", 0.0)
    done = []
    with pytest.raises(Interrupted), deferred():
        interrupt()
        interrupt()
        done.append("all")
    assert not done


def test_handlers_are_as_before_behind_the_block() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with deferred():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_error_of_the_block_is_seen_with_the_interrupt() -> None:
    with pytest.raises(Interrupted) as raised, deferred():
        interrupt()
        raise ValueError("the disk is full")
    assert isinstance(raised.value.__context__, ValueError)


def test_other_threads_hold_nothing() -> None:
    seen = []

    def work() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with deferred() as deferral:
            deferral.check()
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


def test_a_signal_that_ends_the_process_at_once_still_does() -> None:
    code = (
        "import os, signal\n"
        "from ptolemy_core.interrupts import deferred\n"
        "with deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == ""


def test_a_block_may_let_interrupts_through_for_a_while() -> None:
    done = []
    with pytest.raises(Interrupted), deferred() as deferral, deferral.interruptible():
        done.append("before")
        interrupt()
        done.append("behind")
    assert done == ["before"]


def test_one_that_came_before_is_raised_where_they_are_let_through() -> None:
    done = []
    with pytest.raises(Interrupted), deferred() as deferral:
        interrupt()
        with deferral.interruptible():
            done.append("within")
    assert done == []


def test_the_clean_up_after_one_that_was_let_through_is_not_interrupted() -> None:
    done = []
    with pytest.raises(Interrupted), deferred() as deferral, deferral.interruptible():
        try:
            interrupt()
        finally:
            interrupt()
            done.append("cleaned up")
    assert done == ["cleaned up"]


def test_what_takes_long_within_a_block_asks_for_the_interrupt() -> None:
    interrupts.check()  # without a block there is nothing to ask for
    done = []
    with pytest.raises(Interrupted), deferred(), deferred():
        interrupt()
        done.append("before")
        interrupts.check()
        done.append("behind")
    assert done == ["before"]
    interrupts.check()
