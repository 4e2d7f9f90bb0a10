"""Files with secrets: only their owner may read them."""

import os
import stat
from contextlib import suppress

from ptolemy_core.errors import KeyStoreError

MODE = 0o600


def check_private(status: os.stat_result, place: str, variable: str, remedy: str) -> None:
    """Refuse a file that other users can read or change.

    Args:
        status: of the open file.
        place: what the file is, for messages: "the keyring /home/anna/.ptolemy/keyring.json".
        variable: the environment variable that names another.
        remedy: what to do if others could read it: "rotate its keys".

    Raises:
        KeyStoreError: it isn't a regular file, others may use it, or it belongs to another user.
    """
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(f"{place} is not a regular file; set {variable} to a file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~MODE:
        raise KeyStoreError(
            f"{place} has mode {mode:04o}, so other users can access it: chmod 600 it, and "
            f"{remedy} if other users could have read it"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyStoreError(
            f"{place} belongs to user {status.st_uid}, but this process runs as user {os.geteuid()}: use "
            "your own file"
        )


def write_private(path: str, data: bytes) -> None:
    """Write a new file that only its owner may read, and sync it; it must not exist yet.

    Raises:
        OSError: it is there, or can't be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, MODE)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
