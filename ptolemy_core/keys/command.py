"""A command that prints a secret, for vaults and key management services."""

import os
import shlex
import signal
import subprocess
from contextlib import suppress

from ptolemy_core.errors import KeyStoreError, SettingsError
from ptolemy_core.keys.key import check_alias

MAX_OUTPUT = 1 << 20
"""Bytes that a command may print."""


_OURS = "PYTHONSAFEPATH"
"""Set for Ptolemy's own processes; a command may be a script that imports what is beside it."""


class SecretCommand:
    """A command line from an environment variable that prints what belongs to an alias.

    It runs without a shell and without input. What it prints on standard error is dropped, since that could hold a
    secret; no message has its arguments or its output.
    """

    def __init__(self, command: str, variable: str, seconds: float, timeout_variable: str) -> None:
        """Take a command line, split as a shell would, but with nothing in it replaced but `{alias}`.

        Raises:
            SettingsError: it isn't a command line.
        """
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise SettingsError(
                f"{variable} can't be split into arguments ({error}); close its quotes"
            ) from None
        if not self._arguments:
            raise SettingsError(f"{variable} is empty; set it to a command that prints keys, or unset it")
        self._variable = variable
        self._seconds = seconds
        self._timeout_variable = timeout_variable

    @property
    def place(self) -> str:
        """The command's name, without its arguments, which may be confidential."""
        return f"the output of the command {self._arguments[0]} ({self._variable})"

    def output(self, alias: str) -> str:
        """What it prints for an alias.

        Raises:
            SettingsError: the alias can't be one.
            KeyStoreError: it can't be started, fails, takes too long or prints too much.
        """
        check_alias(alias)
        name = f"the command {self._arguments[0]} of {self._variable}"
        arguments = [argument.replace("{alias}", alias) for argument in self._arguments]
        try:
            process = subprocess.Popen(
                arguments,
                env={name: text for name, text in os.environ.items() if name != _OURS},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that its children can be killed too
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it isn't a command"
            raise KeyStoreError(
                f"{name} can't be started ({reason}): give the path of an executable"
            ) from None
        with process:
            try:
                printed, _ = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                _kill(process)
                raise KeyStoreError(
                    f"{name} didn't end within {self._seconds:g} seconds when asked for key {alias}: find out why it "
                    f"waits, or set {self._timeout_variable} to more seconds"
                ) from None
            except BaseException:
                _kill(process)
                raise
        if process.returncode:
            raise KeyStoreError(
                f"{name} failed for key {alias} (exit code {process.returncode}): run it yourself to see why"
            )
        if len(printed) > MAX_OUTPUT:
            raise KeyStoreError(
                f"{name} printed more than {MAX_OUTPUT} bytes for key {alias}: it must print keys only"
            )
        return printed.decode("utf-8", "replace")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process that nobody has waited for yet, and its children."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
