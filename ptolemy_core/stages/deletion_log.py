"""The JSON-lines journal of deleted sources, `<home>/deleted/<project>.jsonl`, beside the one in the catalog.

The home is the folder that holds the state and is kept; the staging folder is emptied by whoever fetches CARs.
"""

import json
import os
import time
from types import TracebackType

from ptolemy_core.catalog import home
from ptolemy_core.errors import DeletionError
from ptolemy_core.staging.output import sync_folder
from ptolemy_core.tree import paths


class DeletionLog:
    """The journal of one project: a line per entry before it is deleted, and one after."""

    def __init__(self, project: str, folder: str | None = None) -> None:
        """Open it in `folder`, by default `<home>/deleted`.

        Raises:
            DeletionError: it can't be written.
        """
        folder = folder or os.path.join(home(), "deleted")
        self._path = os.path.join(folder, f"{project}.jsonl")
        self._project = project
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
            sync_folder(folder)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> "DeletionLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        finally:
            self._file.close()

    def write(self, event: str, path: bytes, **facts: object) -> None:
        """Add a line; `path_hex` has the path's very bytes, names joined by `/`."""
        exact = paths.to_slashes(path).hex()
        row = {"time": time.time(), "event": event, "project": self._project, "path": paths.display(path)}
        try:
            self._file.write(json.dumps(row | {"path_hex": exact} | facts) + "\n")
        except OSError as error:
            raise self._error(error) from error

    def sync(self) -> None:
        """See that all lines are on the disk.

        Raises:
            DeletionError: they can't be written.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> DeletionError:
        return DeletionError(
            f"the journal {self._path} can't be written ({error.strerror}), and nothing is deleted that isn't in it: "
            "make it writable, or free space, then run this again"
        )
