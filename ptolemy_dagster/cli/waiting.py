"""What a command says of a serial project that waits for free space, and waiting for it in the foreground."""

import time

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.sizes import counted, readable
from ptolemy_core.status import free_space
from ptolemy_core.status.state import project_state
from ptolemy_dagster.cli import output

_POLL = 2.0


def say(catalog: Catalog, project: str) -> None:
    """If the project waits, say what for and how to continue.

    Raises:
        StagingError: the staging folder can't be read, or its disk is full of other things.
    """
    found = free_space.still_waiting(catalog, project)
    if found is None:
        return
    now = project_state(catalog, project)
    what = f"{now.built:,} of {counted(now.containers, 'CAR is', 'CARs are')} built"
    if not found.bytes:
        output.say(f"{what}, and the next one fits now: ptolemy blitz {project}")
        return
    output.say(
        f"{what}; CAR {found.number:06d} waits for {_bytes(found)} to leave "
        f"{projects.get(catalog, project).staging_dir}. Deliver finished CARs and mark them: ptolemy release CAR "
        f"--note WHERE (with --remove it deletes their files); then run ptolemy blitz {project} (with --wait it "
        "continues by itself, and so does a running dagster-daemon)"
    )


def until_room(catalog: Catalog, project: str) -> bool:
    """Wait until the project's next CAR fits, and show that; False if it doesn't wait.

    Raises:
        StagingError: the staging folder can't be read, or its disk is full of other things.
    """
    found = free_space.still_waiting(catalog, project)
    if found is None:
        return False
    try:
        with output.err.status(_line(found)) as line:
            if not output.err.is_terminal:
                output.say(_line(found))  # a log has no line that changes
            while found is not None and found.bytes:
                time.sleep(_POLL)
                found = free_space.still_waiting(catalog, project)
                if found is not None:
                    line.update(_line(found))
    except KeyboardInterrupt:
        output.say(
            f"waiting stopped; what is built stays built, and ptolemy blitz {project} resumes from there"
        )
        raise
    return True


def _line(found: Waiting) -> str:
    return f"CAR {found.number:06d} of {found.project} waits for {_bytes(found)} to leave staging_dir; Ctrl-C stops"


def _bytes(found: Waiting) -> str:
    return f"{readable(found.bytes)} ({found.bytes:,} bytes)"
