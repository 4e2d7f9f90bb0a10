"""What steps print, kept in files as Dagster's own local manager does, without its four processes for each step.

Dagster has a `tail` and a process that watches it for each of stdout and stderr, so that a terminal shows output
at once. Here a step's output goes to its files, and on to where the step's process prints when the step has ended.
"""

import os
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from dagster import Field, Noneable, StringSource
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager

from ptolemy_core.catalog import home


class StepLogs(LocalComputeLogManager):
    """Named in dagster.yaml, by way of `ptolemy_dagster.storage`."""

    @classmethod
    def config_type(cls) -> Any:
        """`base_dir`: folder of the files."""
        return {"base_dir": Field(Noneable(StringSource), is_required=False, default_value=None)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "StepLogs":
        """Dagster calls this with dagster.yaml's values."""
        return cls(config_value.get("base_dir") or os.path.join(home(), "storage"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext]:
        """Keep what is printed until the block ends."""
        streams = {ComputeIOType.STDOUT: sys.stdout, ComputeIOType.STDERR: sys.stderr}
        with ExitStack() as stack:
            for kind, stream in streams.items():
                path = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
                stack.enter_context(_printed_to(path, stream))
            yield CapturedLogContext(log_key)
        done: str = self.complete_artifact_path(log_key)  # type: ignore[no-untyped-call]
        with open(done, "ab"):
            pass


@contextmanager
def _printed_to(path: str, stream: IO[str]) -> Iterator[None]:
    """Put what a stream is given into a file, also what other programs print there; then pass it on."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # of a test, or closed
        yield
        return
    stream.flush()
    with open(path, "ab") as file, os.fdopen(os.dup(number), "wb") as before:
        begin = file.tell()
        os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(before.fileno(), number)
            with open(path, "rb") as printed:
                printed.seek(begin)
                shutil.copyfileobj(printed, before)
