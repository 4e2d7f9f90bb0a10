"""Tries at one CAR: each writes a file of its own, and a later try shuts an earlier one out.

The catalog's lock lets one process at a time build a CAR. But a machine that is cut off loses its lock and may
build on, beside the machine that builds its CAR anew. So a try's file has a name that no other try has; the later
try removes the earlier one's, whose writer then can't give it the CAR's name any more.
"""

import fcntl
import os
import secrets
import socket
from contextlib import suppress

from ptolemy_core.errors import BusyError

SILENT = 60.0
"""Seconds without a write after which a try is dead, though its lock stands: some file systems keep a lost host's."""

PART = ".part"
"""How names of files end that aren't whole yet."""


def own_path(path: str) -> str:
    """A path for this try alone: `x.car.part` becomes `x.car.HOST.PID.RANDOM.part`."""
    mark = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    return f"{path.removesuffix(PART)}.{mark}{PART}"


def is_try(name: str, part_name: str) -> bool:
    """Whether a file of that name is a try at the CAR that is called `part_name` until it is whole."""
    return name.startswith(part_name.removesuffix(PART) + ".") and name.endswith(PART)


def hold(descriptor: int) -> None:
    """Show that this try is alive, until the file is closed."""
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def drop_earlier(path: str) -> None:
    """Remove the files of earlier tries at what `own_path(path)` names.

    Raises:
        BusyError: one is still being written.
        OSError: the folder can't be read or written.
    """
    folder, name = os.path.split(path)
    found = [entry for entry in os.listdir(folder) if is_try(entry, name)]
    if not found:
        return
    now = _clock(own_path(path))
    for entry in found:
        earlier = os.path.join(folder, entry)
        with suppress(FileNotFoundError):
            if _is_locked(earlier) and now - os.stat(earlier).st_mtime < SILENT:
                raise BusyError(
                    f"{earlier} is still being written by a process that lost its lock: wait until it ends or has "
                    f"been silent for {SILENT:.0f} s"
                )
            os.unlink(earlier)


def _clock(path: str) -> float:
    """The time of the folder's file system, which may be another machine's, seconds since 1970."""
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
        return False  # no locks here
    finally:
        os.close(descriptor)
    return False
