"""Makes what was written to a folder survive a loss of power, without waiting for the machine's other disks."""

import ctypes
import os
from functools import cache
from typing import Any

from ptolemy_core.restore.target import TargetError
from ptolemy_core.tree import paths


def sync_file_system(folder: bytes) -> None:
    """See that all that was written to the file system of a folder is on its disk.

    Raises:
        TargetError: the disk failed, now or since the last call.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            call = _syncfs()
            if call is None:
                os.fsync(descriptor)  # no such call here: at least the names
            elif call(descriptor) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise TargetError(
            f"what was written to {paths.display(folder)} can't be synced to disk ({error.strerror}): "
            "check the disk, then run the command again"
        ) from error


@cache
def _syncfs() -> Any:
    """The C library's function; None where it has none."""
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
