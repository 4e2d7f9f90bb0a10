"""Options of the whole test run."""

import signal

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fuzz-seconds 600 -k fuzz` fuzzes for longer than the few seconds of a usual run."""
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long, with new seeds")


def pytest_configure() -> None:
    """Heed SIGINT and SIGHUP, which may be ignored in the background: our children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
