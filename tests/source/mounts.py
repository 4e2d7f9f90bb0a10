"""Running a part of a test where it may mount: in a child process with mounts of its own."""

import ctypes
import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x20000


def can_mount() -> bool:
    """Whether this process may make mounts of its own."""
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="mounting needs root")


def mount(*arguments: "str | Path") -> None:
    """`mount`, as root types it."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def tmpfs(place: Path) -> None:
    """Mount an empty file system."""
    mount("-t", "tmpfs", "tmpfs", place)


def unmount(place: Path) -> None:
    """Unmount what is mounted last at a place."""
    subprocess.run(["umount", str(place)], check=True)


def with_own_mounts(work: Callable[[], object]) -> None:
    """Call `work` in a child process whose mounts nobody else sees, and which end with it."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        text = ""
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "unshare")
            mount("--make-rprivate", "/")
            work()
        except BaseException:
            text = traceback.format_exc()
        os.write(send, text.encode("utf-8", "backslashreplace")[:60_000])
        os._exit(0)
    os.close(send)
    with open(receive, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert not text, text
