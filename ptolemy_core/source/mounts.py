"""Whether a mounted file system has stable inode numbers."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's list of mounts: proc_pid_mountinfo(5)."""


def keeps_inodes(device: int) -> bool:
    """Whether a file on this device (st_dev) keeps its inode number as long as it exists.

    FUSE file systems, such as sshfs or rclone mounts, may assign a new one each time a file is opened.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2:3] == [number]:
            return not kind.startswith("fuse")
    return True
