"""Running a part of a test without the rights of root, whom no permission stops."""

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def unprivileged(work: Callable[[], str]) -> str:
    """What `work` returns when it runs in a child process as nobody; as ourselves if we aren't root."""
    if os.geteuid() != 0:
        return work()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            text = "=" + work()
        except BaseException:
            text = "!" + traceback.format_exc()
        os.write(send, text.encode("utf-8", "backslashreplace")[:60_000])
        os._exit(0)
    os.close(send)
    with open(receive, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert text.startswith("="), text
    return text[1:]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter and write; pytest's own are closed to others."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path)
