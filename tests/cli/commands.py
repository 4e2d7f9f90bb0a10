"""The command `ptolemy` as tests call it."""

import json
import subprocess
import sys
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from ptolemy_dagster.cli.app import app
from tests.pipeline.backend import Backend

_MAIN = "from ptolemy_dagster.cli import main; main()"


def ptolemy(*arguments: object, code: int = 0, piped: str | None = None) -> Result:
    """Run a command in this process; it must end with this exit code, and never with a traceback.

    Args:
        arguments: of it.
        code: its exit code.
        piped: its standard input.
    """
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=piped)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def printed(*arguments: object) -> Any:
    """What a command prints with --json."""
    return json.loads(ptolemy(*arguments, "--json").stdout)


def error_of(*arguments: object, code: int = 1) -> str:
    """The message of a command that fails; standard output stays empty."""
    result = ptolemy(*arguments, code=code)
    assert result.stdout == ""
    return result.stderr


def process(backend: Backend, *arguments: "str | bytes") -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments],
        env=dict(backend.env),
        cwd=backend.root,
        capture_output=True,
        timeout=300,
    )


def command(*arguments: str) -> list[str]:
    """Arguments of `python` that run a command."""
    return ["-c", _MAIN, *arguments]
