"""Patterns of rules: what a user writes, checked, and matched name by name on the way down a tree.

The language is a part of what .gitignore files know (https://git-scm.com/docs/gitignore), without negation:

    *.tmp       a name without a slash: at any depth
    /top        a slash at the start or within: from the target folder on
    docs/       a slash at the end: folders only
    * ? [a-z]   any characters, one, one of these ([!a-z]: none of these); never a slash
    **          as a whole name: any number of folders, also none; at the end: everything below
    \\*          a backslash takes the next character as it is; \\xFF is the byte FF

A character is one of UTF-8, or a byte that isn't part of one. Upper and lower case differ.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ptolemy_core.rules.wildcards import between_stars

State = frozenset[tuple[int, int]]
"""Where in which anchored pattern the names so far have led: (pattern, part)."""

_DEEP = None
"""The part `**` of a pattern."""

_HEX = re.compile(r"\\x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern taken apart.

    Attributes:
        parts: a regular expression for each name of a path, or None for `**`.
        floating: whether it is one name, at any depth.
        folders_only: whether it ended in a slash.
    """

    parts: tuple[str | None, ...]
    floating: bool
    folders_only: bool


def parse(text: str) -> Pattern:
    """Take a pattern apart.

    Raises:
        ValueError: it can't be a pattern; the message says why and what to write.
    """
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"pattern {text!r} isn't text; write other bytes as \\xFF") from None
    if "\0" in text:
        raise ValueError(f"pattern {text!r} holds a NUL character, which no name can hold; leave it out")
    if text.startswith("!"):
        raise ValueError(
            f"pattern {text!r} starts with !: there is no negation; "
            "use the other one of include and exclude, or \\! for a name that starts so"
        )
    names = text.removesuffix("/").split("/")
    anchored = len(names) > 1
    if anchored and not names[0]:
        del names[0]
    for name in names:
        if name in ("", ".", ".."):
            raise ValueError(
                f"pattern {text!r} has {name!r} where a name must be; "
                "write /a/b for entry b of folder a of the target folder"
            )
    parts = [_DEEP if name == "**" else _expression(name, text) for name in names]
    if parts[-1] is _DEEP:
        parts.append(_expression("*", text))  # what is below, not the folder itself
    if parts[0] is _DEEP and set(parts[:-1]) == {_DEEP}:  # **/name is name
        del parts[:-1]
        anchored = False
    return Pattern(tuple(parts), not anchored, text.endswith("/"))


class Patterns:
    """A list of patterns, matched all at once, one name of a path after the other."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take the patterns apart.

        Raises:
            ValueError: as `parse`.
        """
        patterns = [parse(text) for text in texts]
        floating = [p for p in patterns if p.floating]
        self._any = _either(p.parts[0] or "" for p in floating if not p.folders_only)
        self._folders = _either(p.parts[0] or "" for p in floating if p.folders_only)
        self._anchored: list[tuple[Sequence[re.Pattern[str] | None], bool]] = [
            ([part if part is None else re.compile(part, re.DOTALL) for part in p.parts], p.folders_only)
            for p in patterns
            if not p.floating
        ]
        self.start: State = frozenset(
            state for number in range(len(self._anchored)) for state in self._reached(number, 0)
        )
        """The state above the first name."""
        self.anywhere = bool(floating)
        """Whether there is a pattern that may match at any depth."""

    def step(self, state: State, name: str, is_folder: bool) -> tuple[bool, State]:
        """Whether an entry of this name matches, in a folder of this state; and the state within the entry."""
        if self._any is not None and self._any.fullmatch(name):
            return True, frozenset()
        if is_folder and self._folders is not None and self._folders.fullmatch(name):
            return True, frozenset()
        if not state:
            return False, state
        below: set[tuple[int, int]] = set()
        for number, at in state:
            parts, folders_only = self._anchored[number]
            part = parts[at]
            if part is _DEEP:
                below.update(self._reached(number, at))
            elif part.fullmatch(name):
                if at + 1 < len(parts):
                    below.update(self._reached(number, at + 1))
                elif is_folder or not folders_only:
                    return True, frozenset()
        return False, frozenset(below)

    def _reached(self, number: int, at: int) -> list[tuple[int, int]]:
        """A pattern's part, and what is behind it if it may stand for no folder."""
        parts = self._anchored[number][0]
        out = [(number, at)]
        while parts[at] is _DEEP:
            at += 1
            out.append((number, at))
        return out


def characters(name: bytes) -> str:
    """A name as the patterns see it."""
    return name.decode("utf-8", "surrogateescape")


def _either(expressions: Iterable[str]) -> re.Pattern[str] | None:
    found = list(expressions)
    return re.compile("|".join(f"(?:{one})" for one in found), re.DOTALL) if found else None


def _expression(name: str, pattern: str) -> str:
    """The regular expression of one name of a pattern."""
    pieces: list[str] = [""]
    plain = b""
    at = 0
    while at < len(name):
        character = name[at]
        if character in "*?[":
            pieces[-1] += re.escape(characters(plain))
            plain = b""
        if character == "*":
            pieces.append("")
            at += 1
        elif character == "?":
            pieces[-1] += "."
            at += 1
        elif character == "[":
            chosen, at = _one_of(name, at + 1, pattern)
            pieces[-1] += chosen
        else:
            found, at = _character(name, at, pattern)
            plain += found
    pieces[-1] += re.escape(characters(plain))
    return between_stars(pieces)


def _one_of(name: str, at: int, pattern: str) -> tuple[str, int]:
    """The expression of a `[...]`, whose inside starts at `at`; and where it ends."""
    none_of = name[at : at + 1] in ("!", "^")
    at += none_of
    ranges: list[str] = []
    first = True
    while first or name[at : at + 1] != "]":
        first = False
        if at >= len(name):
            raise ValueError(f"pattern {pattern!r} has a [ without its ]; write \\[ for a name with [ in it")
        if name.startswith("[:", at):
            raise ValueError(f"pattern {pattern!r} has a class like [:alpha:]; write the range, as [a-z]")
        low, at = _character(name, at, pattern)
        high = low
        if name[at : at + 1] == "-" and name[at + 1 : at + 2] not in ("]", ""):
            high, at = _character(name, at + 1, pattern)
        one, other = characters(low), characters(high)
        if one > other:
            raise ValueError(
                f"pattern {pattern!r} has the range {one}-{other}, which is empty; turn it round"
            )
        ranges.append(f"{re.escape(one)}-{re.escape(other)}")
    return f"[{'^' if none_of else ''}{''.join(ranges)}]", at + 1


def _character(name: str, at: int, pattern: str) -> tuple[bytes, int]:
    """The bytes of the character at `at`, which may be behind a backslash; and where it ends."""
    if name[at] != "\\":
        return name[at].encode("utf-8", "surrogateescape"), at + 1
    found = _HEX.match(name, at)
    if found:
        return bytes([int(found[1], 16)]), found.end()
    if at + 1 == len(name):
        raise ValueError(f"pattern {pattern!r} has a backslash with nothing behind it; write \\\\ for one")
    return name[at + 1].encode("utf-8", "surrogateescape"), at + 2
