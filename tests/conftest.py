"""Options of the whole test run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fuzz-seconds 600 -k fuzz` fuzzes for longer than the few seconds of a usual run."""
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long, with new seeds")
