"""The pattern language of rules: parsing, and matching name by name while a tree is walked.

The syntax is a subset of .gitignore's (https://git-scm.com/docs/gitignore), without negation:

    *.tmp       no slash: matches at any depth
    /top        a slash at the start or in the middle: relative to the target folder
    docs/       a slash at the end: folders only
    * ? [a-z]   any characters, one character, one of these ([!a-z]: none of these); never a slash
    **          as a whole name: any number of folders, including none; at the end: everything below
    \\*          a backslash makes the next character literal; \\xFF is the byte FF

A character is a UTF-8 character, or a byte that isn't part of one. Matching is case-sensitive.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ptolemy_core.rules.wildcards import between_stars

State = frozenset[tuple[int, int]]
"""How far each anchored pattern has matched: a set of (pattern, next part)."""

_ANY_FOLDERS = None
"""The part `**` of a pattern."""

_HEX = re.compile(r"\\x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        parts: a regular expression for each name of a path, or None for `**`.
        floating: whether it is a single name that matches at any depth.
        folders_only: whether it ended in a slash.
    """

    parts: tuple[str | None, ...]
    floating: bool
    folders_only: bool


def parse(text: str) -> Pattern:
    """Parse a pattern.

    Raises:
        ValueError: it isn't a valid pattern; the message says why and what to write instead.
    """
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"pattern {text!r} isn't text; write other bytes as \\xFF") from None
    if "\0" in text:
        raise ValueError(f"pattern {text!r} contains a NUL character, which no name can contain; remove it")
    if text.startswith("!"):
        raise ValueError(
            f"pattern {text!r} starts with !: negation is not supported; "
            "put the pattern into the other list (include or exclude), or write \\! for a name that starts with !"
        )
    names = text.removesuffix("/").split("/")
    anchored = len(names) > 1
    if anchored and not names[0]:
        del names[0]
    for name in names:
        if name in ("", ".", ".."):
            raise ValueError(
                f"pattern {text!r} has {name!r} where a name is expected; "
                "write /a/b for entry b of folder a of the target folder"
            )
    parts = [_ANY_FOLDERS if name == "**" else _expression(name, text) for name in names]
    if parts[-1] is _ANY_FOLDERS:
        parts.append(_expression("*", text))  # the folder's entries, not the folder itself
    if parts[0] is _ANY_FOLDERS and set(parts[:-1]) == {_ANY_FOLDERS}:  # **/name equals name
        del parts[:-1]
        anchored = False
    return Pattern(tuple(parts), not anchored, text.endswith("/"))


class Patterns:
    """A list of patterns, matched together, one name of a path at a time."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse the patterns.

        Raises:
            ValueError: see `parse`.
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
        """The state before the first name."""
        self.anywhere = bool(floating)
        """Whether some pattern may match at any depth."""

    def step(self, state: State, name: str, is_folder: bool) -> tuple[bool, State]:
        """Whether an entry of this name, in a folder with this state, matches; and the state inside the entry."""
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
            if part is _ANY_FOLDERS:
                below.update(self._reached(number, at))
            elif part.fullmatch(name):
                if at + 1 < len(parts):
                    below.update(self._reached(number, at + 1))
                elif is_folder or not folders_only:
                    return True, frozenset()
        return False, frozenset(below)

    def _reached(self, number: int, at: int) -> list[tuple[int, int]]:
        """A pattern's part, and the parts after it that can match next because `**` may match no folder."""
        parts = self._anchored[number][0]
        out = [(number, at)]
        while parts[at] is _ANY_FOLDERS:
            at += 1
            out.append((number, at))
        return out


def characters(name: bytes) -> str:
    """A name as the text that patterns are matched against."""
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
    """The expression of a `[...]` whose content starts at `at`; and where it ends."""
    none_of = name[at : at + 1] in ("!", "^")
    at += none_of
    ranges: list[str] = []
    first = True
    while first or name[at : at + 1] != "]":
        first = False
        if at >= len(name):
            raise ValueError(f"pattern {pattern!r} has a [ without a ]; write \\[ for a literal [")
        if name.startswith("[:", at):
            raise ValueError(
                f"pattern {pattern!r} has a class like [:alpha:], which is not supported; write a range like [a-z]"
            )
        low, at = _character(name, at, pattern)
        high = low
        if name[at : at + 1] == "-" and name[at + 1 : at + 2] not in ("]", ""):
            high, at = _character(name, at + 1, pattern)
        one, other = characters(low), characters(high)
        if one > other:
            raise ValueError(f"pattern {pattern!r} has the empty range {one}-{other}; swap its ends")
        ranges.append(f"{re.escape(one)}-{re.escape(other)}")
    return f"[{'^' if none_of else ''}{''.join(ranges)}]", at + 1


def _character(name: str, at: int, pattern: str) -> tuple[bytes, int]:
    """The bytes of the (possibly escaped) character at `at`, and where it ends."""
    if name[at] != "\\":
        return name[at].encode("utf-8", "surrogateescape"), at + 1
    found = _HEX.match(name, at)
    if found:
        return bytes([int(found[1], 16)]), found.end()
    if at + 1 == len(name):
        raise ValueError(
            f"pattern {pattern!r} ends with a single backslash; write \\\\ for a literal backslash"
        )
    return name[at + 1].encode("utf-8", "surrogateescape"), at + 2
