"""What a source says of an entry that it can't give: the same words whatever the source."""

from ptolemy_core.errors import SourceChangedError, SourceError, SourceUnreadableError

_AGAIN = "scan again, then containerize and blitz"


def changed(name: str, how: str) -> SourceError:
    """An entry isn't the one that was scanned."""
    return _error(SourceChangedError, name, f"changed since the scan, {how}", _AGAIN)


def gone(name: str, why: str) -> SourceError:
    """An entry isn't there any more."""
    return _error(SourceChangedError, name, f"is gone since the scan ({why})", _AGAIN)


def torn(name: str) -> SourceError:
    """Two reads of a file, or the begin and the end of one, found it in different states."""
    return _error(
        SourceChangedError, name, "changed while it was read", "run blitz again when nothing writes to it"
    )


def unreadable(name: str, why: str) -> SourceError:
    """An entry can't be read."""
    return _error(
        SourceUnreadableError, name, f"can't be read ({why})", "make it readable, then run blitz again"
    )


def _error(kind: type[SourceError], name: str, reason: str, remedy: str) -> SourceError:
    return kind(f"{name} {reason}: {remedy}", reason=reason)
