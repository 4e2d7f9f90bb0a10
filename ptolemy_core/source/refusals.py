"""The errors of sources, in the same words for every kind of source."""

from ptolemy_core.errors import SourceChangedError, SourceUnreadableError

BEHIND_LINK = "a folder in its path is now a link"
"""How an entry changed that can't be reached without following a link."""

NOT_A_FILE = "it is no longer a regular file"

_RESCAN = "scan again, then containerize and blitz"


def changed(name: str, how: str) -> SourceChangedError:
    """An entry changed since the scan."""
    return _changed(name, f"changed since the scan, {how}", _RESCAN)


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
