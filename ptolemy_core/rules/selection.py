"""Rules: which entries of a target folder belong to a project.

The scan sees the tree as if other entries didn't exist: an excluded folder isn't walked, and a folder whose entries
are all excluded is an empty folder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ptolemy_core.rules.patterns import Patterns, State, characters, parse
from ptolemy_core.tree import paths

MAX_PATTERNS = 1000
"""Patterns in one list, at most."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scope:
    """A folder as the rules see it.

    Attributes:
        included: whether everything below it is included, unless excluded.
        include, exclude: states of the patterns inside it.
    """

    included: bool
    include: State
    exclude: State


class Rules:
    """Include and exclude patterns (see `patterns`), and whether names that start with a dot are kept.

    An entry belongs to the project if it, or a folder above it, is included (or there are no include
    patterns), and neither it nor a folder above it is excluded.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = (), hidden: bool = True) -> None:
        """Parse the patterns.

        Raises:
            ValueError: a pattern is invalid.
        """
        self._include = Patterns(include)
        self._exclude = Patterns(exclude)
        self._hidden = hidden
        self.top = Scope(not include, self._include.start, self._exclude.start)
        """The scope of the target folder."""

    def keeps(self, scope: Scope, name: bytes) -> bool:
        """Whether the entry of that name, not a folder, in a folder with this scope belongs to the project."""
        if not self._hidden and name.startswith(b"."):
            return False
        text = characters(name)
        if self._exclude.step(scope.exclude, text, False)[0]:
            return False
        return scope.included or self._include.step(scope.include, text, False)[0]

    def enter(self, scope: Scope, name: bytes) -> Scope | None:
        """The scope of the subfolder of that name; None if nothing in it can belong to the project."""
        if not self._hidden and name.startswith(b"."):
            return None
        text = characters(name)
        excluded, exclude = self._exclude.step(scope.exclude, text, True)
        if excluded:
            return None
        if scope.included:
            return Scope(True, frozenset(), exclude)
        included, include = self._include.step(scope.include, text, True)
        if not (included or include or self._include.anywhere):
            return None
        return Scope(included, include, exclude)

    def scope(self, path: bytes) -> Scope | None:
        """The scope of the folder at this NUL-joined path; None if nothing in it can belong to the project."""
        scope: Scope | None = self.top
        for name in paths.names(path):
            if scope is not None:
                scope = self.enter(scope, name)
        return scope

    def keep_path(self, path: bytes) -> bool:
        """Whether the entry at this NUL-joined path, not a folder, belongs to the project."""
        folder, name = paths.split(path)
        scope = self.scope(folder)
        return scope is not None and self.keeps(scope, name)


def normalized(patterns: Sequence[str]) -> tuple[str, ...]:
    """A list of patterns as settings keep it: without duplicates, in valid text (other bytes as \\xFF).

    Raises:
        ValueError: a pattern is invalid, or there are more than MAX_PATTERNS.
    """
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(
            f"{len(patterns)} patterns are too many, at most {MAX_PATTERNS}; combine some with * or []"
        )
    for text in patterns:
        parse(text)
    return tuple(dict.fromkeys(_valid_text(text) for text in patterns))


def _valid_text(pattern: str) -> str:
    """A pattern with its surrogates, which represent bytes that aren't UTF-8, written as \\xFF."""
    escaped = _ESCAPED.sub(lambda found: found[1] if "\udc80" <= found[1] <= "\udcff" else found[0], pattern)
    return escaped.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
