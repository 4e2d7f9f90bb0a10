"""What a source says of an entry that it can't give: the same words whatever the source."""

from ptolemy_core.errors import SourceChangedError, SourceUnreadableError

_AGAIN = "scan again, then containerize and blitz"


def changed(name: str, how: str) -> SourceChangedError:
    """An entry isn't the one that was scanned."""
    return _changed(name, f"changed since the scan, {how}", _AGAIN)


def gone(name: str, why: str) -> SourceChangedError:
    """An entry isn't there any more."""
    return _changed(name, f"is gone since the scan ({why})", _AGAIN)


def torn(name: str) -> SourceChangedError:
    """Two reads of a file, or the begin and the end of one, found it in different states."""
    return _changed(name, "changed while it was read", "run blitz again when nothing writes to it")


def unreadable(name: str, why: str) -> SourceUnreadableError:
    """An entry can't be read."""
    reason = f"can't be read ({why})"
    return SourceUnreadableError(f"{name} {reason}: make it readable, then run blitz again", reason=reason)


def _changed(name: str, reason: str, remedy: str) -> SourceChangedError:
    return SourceChangedError(f"{name} {reason}: {remedy}", reason=reason)
