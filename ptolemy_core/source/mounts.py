"""What a mounted file system promises of its inode numbers."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's list of mounts: proc_pid_mountinfo(5)."""


def keeps_inodes(device: int) -> bool:
    """Whether a file on this device (st_dev) has one and the same inode number as long as it exists.

    FUSE file systems such as sshfs or rclone's may give it a new one when it is opened again.
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
