"""Renaming within a folder without overwriting anything, on file systems that can guarantee it."""

import ctypes
import errno
import os
import stat
from functools import cache
from typing import Any

_NOREPLACE = 1
_NO_FLAGS = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems that don't support renaming with flags, such as NFS."""


def rename_new(folder: int, old: bytes, new: bytes) -> None:
    """Rename `old` to `new` in an open folder, unless `new` exists.

    `old` must be a name that nobody else uses: if the system can't rename in one step, `new` is created as a second
    hard link before `old` is removed.

    Raises:
        FileExistsError: `new` exists.
        OSError: it can't be renamed, or this file system can't guarantee that nothing is overwritten.
    """
    call = _renameat2()
    if call is not None:
        if call(folder, old, folder, new, _NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _NO_FLAGS:
            raise OSError(code, os.strerror(code), os.fsdecode(old))
    if stat.S_ISDIR(os.stat(old, dir_fd=folder, follow_symlinks=False).st_mode):
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)  # replaces at most an empty folder
        return
    os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    os.unlink(old, dir_fd=folder)


@cache
def _renameat2() -> Any:
    """The C library's renameat2; None if it doesn't have one."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
