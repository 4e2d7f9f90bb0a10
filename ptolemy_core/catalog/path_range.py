"""Patterns of paths, as shells write them, and the range of paths in which their matches can lie.

`*` is any text within a name, `?` one character, `[a-z]` and `[!a-z]` one of a set, and `**` as a whole name any
number of folders. A pattern is matched against whole paths, upper and lower case told apart.
"""

import os
import re
from dataclasses import dataclass

from ptolemy_core.errors import SettingsError
from ptolemy_core.rules.wildcards import between_stars
from ptolemy_core.tree import paths

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
        return PathRange(path, paths.range_below(path)[0])
    begins = _beginning(_nul_joined(text[: special.start()]))
    try:
        regex = re.compile(_expression(text.split("/")), re.DOTALL)
    except re.error:
        raise SettingsError(
            f"pattern {text!r} has a set of characters that can't be: write [a-z] with the lower end first"
        ) from None
    return PathRange(begins.low, begins.high, regex)


def _nul_joined(text: str) -> bytes:
    return paths.from_slashes(os.fsencode(text))


def _beginning(path: bytes) -> PathRange:
    kept = path.rstrip(
        b"\xff"
    )  # nothing that begins so sorts behind the same with its last other byte raised
    return PathRange(path, kept[:-1] + bytes((kept[-1] + 1,)) if kept else None)


def _expression(names: list[str]) -> str:
    """The regular expression of a pattern's names, matched against a whole path in linear time.

    Between two `**` is a fixed number of names: the first place where they fit leaves the most for the rest.
    """
    deep = r"(?:[^\x00]++\x00)*"
    sequences: list[list[str]] = [[]]
    for name in names:
        if name == "**":
            sequences.append([])
        else:
            sequences[-1].append(_name(name))
    first, *rest = ["".join(rf"{name}\x00" for name in sequence) for sequence in sequences[:-1]] + [
        r"\x00".join(sequences[-1]) or ".+"
    ]
    if not rest:
        return first
    middle = "".join(f"(?>{deep}?{sequence})" for sequence in rest[:-1] if sequence)
    return f"{first}{middle}{deep}{rest[-1]}"


def _name(name: str) -> str:
    """The regular expression of one name of a pattern."""
    pieces = [""]
    at = 0
    last = name.rfind("]")
    while at < len(name):
        one = _SET.match(name, at) if at < last else None
        if one:
            inner = re.sub(r"([\\\[\]&~|^])", r"\\\1", one[2])
            pieces[-1] += rf"(?!\x00)[{'^' if one[1] else ''}{inner}]"
            at = one.end()
            continue
        if name[at] == "*":
            pieces.append("")
        else:
            pieces[-1] += r"[^\x00]" if name[at] == "?" else re.escape(name[at])
        at += 1
    return between_stars(pieces, r"[^\x00]")
