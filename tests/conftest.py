"""Options of the whole test run."""

import signal

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fuzz-seconds 600 -k fuzz` fuzzes for longer than the few seconds of a usual run."""
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long, with new seeds")


def pytest_configure() -> None:
    """Heed SIGINT, which a shell's background jobs ignore: Dagster and its children would ignore SIGTERM then."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
