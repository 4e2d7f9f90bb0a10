"""What kind of file system is mounted: whether it keeps inode numbers, whether it is in memory."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's list of mounts: proc_pid_mountinfo(5)."""


_IN_MEMORY = ("tmpfs", "ramfs")


def keeps_inodes(device: int) -> bool:
    """Whether a file on this device (st_dev) keeps its inode number as long as it exists.

    FUSE file systems, such as sshfs or rclone mounts, may assign a new one each time a file is opened.
    """
    return not _kind(device).startswith("fuse")


def is_in_memory(device: int) -> bool:
    """Whether the files of this device (st_dev) are in memory alone."""
    return _kind(device) in _IN_MEMORY


def _kind(device: int) -> str:
    """The type of the file system on a device, such as ext4; empty if it isn't known."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2:3] == [number]:
            return kind.partition(" ")[0]
    return ""
