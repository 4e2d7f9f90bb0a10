"""Patterns of paths, as shells write them, and the range of paths in which their matches can lie.

`*` is any text within a name, `?` one character, `[a-z]` and `[!a-z]` one of a set, and `**` as a whole name any
number of folders. A pattern is matched against whole paths, upper and lower case told apart.
"""

import os
import re
from dataclasses import dataclass

from ptolemy_core.errors import SettingsError
from ptolemy_core.tree import SEPARATOR

_SPECIAL = re.compile(r"[*?\[]")
_SET = re.compile(r"\[(!|(?!!))(\][^\]]*|[^\]]+)\]")


@dataclass(frozen=True, slots=True)
class PathRange:
    """Paths from `low` to below `high` (None: to the last), NUL-joined; of them those that `matches` accepts."""

    low: bytes
    high: bytes | None
    regex: re.Pattern[str] | None = None

    def matches(self, path: bytes) -> bool:
        """Whether a path in the range is meant."""
        return self.regex is None or bool(self.regex.fullmatch(path.decode("utf-8", "surrogateescape")))


def entry_or_below(text: str) -> PathRange:
    """The entry of this path, and all below it if it is a folder; all paths where it is empty."""
    path = _nul_joined(text.strip("/"))
    # the separator is the lowest byte: nothing sorts between a folder and what is below it
    return PathRange(path, path + b"\1") if path else PathRange(b"", None)


def prefix(text: str) -> PathRange:
    """All paths that begin with this text; a last name may be cut off anywhere."""
    return _beginning(_nul_joined(text.lstrip("/")))


def glob(text: str) -> PathRange:
    """All paths that match a pattern.

    Raises:
        SettingsError: a set in it can't be.
    """
    text = text.strip("/")
    special = _SPECIAL.search(text)
    if special is None:
        path = _nul_joined(text)
        return PathRange(path, path + SEPARATOR)
    begins = _beginning(_nul_joined(text[: special.start()]))
    names = text.split("/")
    parts = [_name(name) + r"\x00" if name != "**" else r"(?:[^\x00]+\x00)*" for name in names[:-1]]
    parts.append(_name(names[-1]) if names[-1] != "**" else ".+")
    try:
        regex = re.compile("".join(parts), re.DOTALL)
    except re.error:
        raise SettingsError(
            f"pattern {text!r} has a set of characters that can't be: write [a-z] with the lower end first"
        ) from None
    return PathRange(begins.low, begins.high, regex)


def _nul_joined(text: str) -> bytes:
    return os.fsencode(text).replace(b"/", SEPARATOR)


def _beginning(path: bytes) -> PathRange:
    kept = path.rstrip(
        b"\xff"
    )  # nothing that begins so sorts behind the same with its last other byte raised
    return PathRange(path, kept[:-1] + bytes((kept[-1] + 1,)) if kept else None)


def _name(name: str) -> str:
    """The regular expression of one name of a pattern."""
    out = []
    at = 0
    while at < len(name):
        one = _SET.match(name, at)
        if one:
            inner = re.sub(r"([\\\[\]&~|^])", r"\\\1", one[2])
            out.append(rf"(?!\x00)[{'^' if one[1] else ''}{inner}]")
            at = one.end()
            continue
        out.append({"*": r"[^\x00]*", "?": r"[^\x00]"}.get(name[at], re.escape(name[at])))
        at += 1
    return "".join(out)
