"""The limit of open files of this process. It belongs to the whole process, so the engine never changes it itself."""

import resource

_OTHERS = 2048
"""Files that a process may have open besides those that are asked for; a restore opens nearly as many."""


def allow_open_files(count: int) -> None:
    """Raise this process's limit so that it may open `count` files more, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed_limit(count)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def needed_limit(count: int) -> int:
    """The limit with which `count` files can be open, whatever else is."""
    return count + _OTHERS
