"""The folder of a project's outlines gets another name, so that a project that is renamed finds it at any moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ptolemy_core.errors import PtolemyError, StagingError
from ptolemy_core.staging.area import outline_folder


@contextmanager
def outlines_renamed(staging_dir: str, old: str, new: str) -> Iterator[None]:
    """Rename the folder of a project's outlines, if there is one, while the block renames the project.

    Until the block is done the new name is a link, so the folder has both names: a process that is killed within it
    leaves outlines that are found, whether the project was renamed by then or not. What it left, this completes.

    Raises:
        StagingError: that can't be done; the block isn't run then.
    """
    source, target = outline_folder(staging_dir, old), outline_folder(staging_dir, new)
    if not os.path.isdir(source):
        yield
        return
    try:
        if os.path.islink(source):  # an earlier rename was killed
            _replace(source, os.path.join(os.path.dirname(source), os.readlink(source)))
        _link(source, target)
    except OSError as error:
        raise StagingError(
            f"the folder of outlines of project {old!r} can't be renamed to {target} ({error.strerror}): check "
            f"{staging_dir}, and move away what is there"
        ) from error
    try:
        yield
    except PtolemyError:  # after any other error the project may be renamed
        with suppress(OSError):
            os.unlink(target)
        raise
    with suppress(OSError):  # the link does too
        _replace(target, source)


def _replace(link: str, folder: str) -> None:
    """Put the folder in the place of a link to it."""
    os.unlink(link)
    try:
        os.rename(folder, link)
    except OSError:
        _link(folder, link)
        raise


def _link(folder: str, name: str) -> None:
    """Let a name beside a folder lead to it; an empty folder of that name is replaced."""
    wanted = os.path.basename(folder)
    if os.path.islink(name) and os.readlink(name) == wanted:
        return
    with suppress(FileNotFoundError):
        os.rmdir(name)
    os.symlink(wanted, name)
