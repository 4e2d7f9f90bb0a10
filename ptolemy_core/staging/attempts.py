"""Attempts at building one CAR: each writes its own file, and a later attempt invalidates an earlier one.

The catalog's lock lets one process at a time build a CAR. But a machine that loses its network also loses its lock,
and may continue while another machine builds the same CAR. So each attempt's file has a unique name. A later attempt
removes the earlier ones' files, and their writers can no longer rename them to the CAR's name.
"""

import fcntl
import os
import secrets
import socket
from contextlib import suppress

from ptolemy_core.errors import BusyError

SILENT = 60.0
"""Seconds without a write after which an attempt is dead even if its file is locked: some file systems keep the locks
of a lost host."""

PART = ".part"
"""Suffix of the names of incomplete files."""


def own_path(path: str) -> str:
    """A unique path for this attempt: `x.car.part` becomes `x.car.HOST.PID.RANDOM.part`."""
    mark = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    return f"{path.removesuffix(PART)}.{mark}{PART}"


def is_attempt(name: str, part_name: str) -> bool:
    """Whether a file of that name is an attempt at the CAR whose file is called `part_name` until complete."""
    return name.startswith(part_name.removesuffix(PART) + ".") and name.endswith(PART)


def lock_file(descriptor: int) -> None:
    """Lock the file until it is closed, to show that this attempt is alive."""
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_earlier(path: str) -> None:
    """Remove the files of earlier attempts at the CAR at `path`.

    Raises:
        BusyError: one is still being written.
        OSError: the folder can't be read or written.
    """
    folder, name = os.path.split(path)
    found = [entry for entry in os.listdir(folder) if is_attempt(entry, name)]
    if not found:
        return
    now = _file_system_time(own_path(path))
    for entry in found:
        earlier = os.path.join(folder, entry)
        with suppress(FileNotFoundError):
            if _is_locked(earlier) and now - os.stat(earlier).st_mtime < SILENT:
                raise BusyError(
                    f"{earlier} is still being written by a process that lost its lock: wait until it ends or hasn't "
                    f"written for {SILENT:.0f} s, then run blitz again"
                )
            os.unlink(earlier)


def _file_system_time(path: str) -> float:
    """The current time of the folder's file system, which may be on another machine; seconds since 1970."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        os.unlink(path)


def _is_locked(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this file system has no locks
    finally:
        os.close(descriptor)
    return False
