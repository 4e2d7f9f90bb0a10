"""Entries as columns: millions of them pass without an object for each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Columns = tuple[list[bytes], list[int], list[int], list[int], list[bytes | None], list[str | None]]
"""The lists of a `Listed`, in the order of an entry's values."""


class Entry(NamedTuple):
    """An entry found in a source.

    `path` is relative to the source, NUL-joined; `kind` is a `Kind` or LEFT_OUT; `size` and `token` are its stamp (a
    link's size is its target's length); `target` is a link's target; `reason` says why the entry is left out.
    """

    path: bytes
    kind: int
    size: int
    token: int
    target: bytes | None = None
    reason: str | None = None


@dataclass(slots=True)
class Listed:
    """Entries in path order; the same place in each list is one entry. See `Entry` for their values."""

    paths: list[bytes] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    targets: list[bytes | None] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def columns(self) -> Columns:
        """The lists themselves."""
        return self.paths, self.kinds, self.sizes, self.tokens, self.targets, self.reasons

    def __getitem__(self, at: int) -> Entry:
        return Entry(
            self.paths[at],
            self.kinds[at],
            self.sizes[at],
            self.tokens[at],
            self.targets[at],
            self.reasons[at],
        )

    def __setitem__(self, at: int, entry: Entry) -> None:
        for column, value in zip(self._any, entry, strict=True):
            column[at] = value

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry, *self.columns)

    def append(self, entry: Entry) -> None:
        """Add an entry."""
        for column, value in zip(self._any, entry, strict=True):
            column.append(value)

    def extend(self, other: "Listed") -> None:
        """Add all entries of another one."""
        for column, more in zip(self._any, other._any, strict=True):
            column += more

    def part(self, start: int, end: int) -> "Listed":
        """The entries from `start` up to `end`."""
        return Listed(*(column[start:end] for column in self._any))

    def take(self, rows: Sequence[int]) -> "Listed":
        """The entries at these places."""
        if len(rows) == len(self):
            return self
        return Listed(*([column[k] for k in rows] for column in self._any))

    def same(self, start: int, end: int, other: "Listed", at: int) -> bool:
        """Whether the entries from `start` up to `end` are those of another one from `at` on."""
        end_there = at + end - start
        return all(
            mine[start:end] == theirs[at:end_there]
            for mine, theirs in zip(self._any, other._any, strict=True)
        )

    @property
    def _any(self) -> tuple[list[Any], ...]:
        return self.columns


def listed(entries: Iterable[Entry]) -> Listed:
    """Entries as columns."""
    columns = list(map(list, zip(*entries, strict=True)))
    return Listed(*columns) if columns else Listed()
