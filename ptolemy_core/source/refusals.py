"""The errors of sources, in the same words for every kind of source."""

from ptolemy_core.errors import SourceChangedError, SourceUnreadableError

BEHIND_LINK = "a folder in its path is now a link"
"""How an entry changed that can't be reached without following a link."""

NOT_A_FILE = "it is no longer a regular file"

OTHER_CONTENT = (
    "changed since the scan, other bytes than its CAR was built with, though its size and time are the same"
)
"""How a file changed that a scan can't tell from what it was."""

_RESCAN = "scan again, then containerize and blitz"


def changed(name: str, how: str) -> SourceChangedError:
    """An entry changed since the scan."""
    return _changed(name, f"changed since the scan, {how}", _RESCAN)


def other_content(name: str, *, recorded: bool = False) -> SourceChangedError:
    """A file has other bytes than its CAR was built with, and no scan can tell.

    Args:
        name: of the file.
        recorded: whether the catalog learns it from whoever caught this error.
    """
    remedy = "containerize and blitz make new CARs of what is there"
    return _changed(
        name, OTHER_CONTENT, remedy if recorded else f"run verify --again, which records it; then {remedy}"
    )


def missing(name: str, why: str) -> SourceChangedError:
    """An entry no longer exists."""
    return _changed(name, f"is missing since the scan ({why})", _RESCAN)


def torn(name: str) -> SourceChangedError:
    """Two reads of a file, or the start and the end of one read, found it in different states."""
    return _changed(name, "changed while it was read", "run blitz again when nothing writes to it")


def unreadable(name: str, why: str) -> SourceUnreadableError:
    """An entry can't be read."""
    reason = f"can't be read ({why})"
    return SourceUnreadableError(f"{name} {reason}: make it readable, then run blitz again", reason=reason)


def _changed(name: str, reason: str, remedy: str) -> SourceChangedError:
    return SourceChangedError(f"{name} {reason}: {remedy}", reason=reason)
