"""The errors of sources, in the same words for every kind of source."""

from ptolemy_core.errors import SourceChangedError, SourceError, SourceUnreadableError

BEHIND_LINK = "a folder in its path is now a link"
"""How an entry changed that can't be reached without following a link."""

NOT_A_FILE = "it is no longer a regular file"

OTHER_CONTENT = (
    "changed since the scan, other bytes than its CAR was built with, though its size and time are the same"
)
"""How a file changed that a scan can't tell from what it was."""

_REMEDY = "containerize and blitz make new CARs of what is there"
_RECORD = "run verify --again, which records it; then "
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
    return _changed(name, OTHER_CONTENT, _REMEDY if recorded else _RECORD + _REMEDY)


def recorded(error: SourceError) -> str:
    """The message of an error, without the advice of `other_content` to record it: whoever says it does so."""
    return str(error).replace(_RECORD + _REMEDY, _REMEDY)


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
