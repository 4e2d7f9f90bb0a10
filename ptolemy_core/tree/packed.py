"""Paths of many entries without an object for each: names side by side, a folder's path once for what is in it."""

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.tree.paths import SEPARATOR

_PAGE = 8192
"""Paths that are packed together."""

Group = tuple[bytes, list[bytes]]
"""A folder's path, and names of entries directly in it, one after the other."""


class PackedPaths(Sequence[bytes]):
    """Paths in the order in which they were added: a path takes its name's bytes and four more.

    Names of links are packed in the same way: they are paths without a folder.
    """

    def __init__(self, paths: Iterable[bytes] = ()) -> None:
        """Pack these paths; more can be added."""
        self._pages: list[Page] = []
        self._firsts: list[int] = []
        self._packed = 0
        self._waiting: list[bytes] = []
        self.extend(paths)
        self.finish()

    def extend(self, paths: Iterable[bytes]) -> None:
        """Add paths; `finish` when there are no more, before any is read."""
        self._waiting += paths
        whole = len(self._waiting) - len(self._waiting) % _PAGE
        for low in range(0, whole, _PAGE):
            self.add(Page.of(self._waiting[low : low + _PAGE]))
        if whole:
            del self._waiting[:whole]

    def add(self, page: "Page") -> None:
        """Add the paths of a page, after `finish`."""
        self._pages.append(page)
        self._firsts.append(self._packed)
        self._packed += len(page)

    def finish(self) -> "PackedPaths":
        """Pack the last of them."""
        if self._waiting:
            self.add(Page.of(self._waiting))
            self._waiting = []
        return self

    def __len__(self) -> int:
        return self._packed

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> "PackedPaths": ...

    def __getitem__(self, at: int | slice) -> "bytes | PackedPaths":
        if isinstance(at, slice):
            low, high, step = at.indices(len(self))
            return self._part(low, high) if step == 1 else PackedPaths(self[k] for k in range(len(self))[at])
        number = range(len(self))[at]
        page = bisect_right(self._firsts, number) - 1
        return self._pages[page].path(number - self._firsts[page])

    def _part(self, low: int, high: int) -> "PackedPaths":
        """The paths from `low` up to `high`; their names aren't copied."""
        out = PackedPaths()
        for number, first, last in self._pages_of(low, high):
            out.add(self._pages[number].part(first, last))
        return out

    def __iter__(self) -> Iterator[bytes]:
        return self.between(0, len(self))

    def between(self, low: int, high: int) -> Iterator[bytes]:
        """The paths from `low` up to `high`."""
        for folder, names in self.groups(low, high):
            prefix = folder + SEPARATOR if folder else b""
            for name in names:
                yield prefix + name

    def groups(self, low: int = 0, high: int | None = None) -> Iterator[Group]:
        """The paths from `low` up to `high`, by folder; a folder may come several times in a row."""
        for number, first, last in self._pages_of(low, len(self) if high is None else high):
            yield from self._pages[number].groups(first, last)

    def _pages_of(self, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """The numbers of the pages with the paths from `low` up to `high`, and what part of each they are."""
        for number in range(max(0, bisect_right(self._firsts, low) - 1), len(self._pages)):
            first = self._firsts[number]
            if first >= high:
                return
            start, stop = max(0, low - first), min(len(self._pages[number]), high - first)
            if start < stop:
                yield number, start, stop

    def pages(self) -> Sequence["Page"]:
        """What it is made of, to be read without an object for each path."""
        return self._pages

    def lengths(self) -> NDArray[np.int32]:
        """Bytes of the name of each."""
        out = np.zeros(len(self), dtype=np.int32)
        for first, page in zip(self._firsts, self._pages, strict=True):
            out[first : first + len(page)] = np.diff(np.frombuffer(page.ends, dtype=np.uint32))
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(bytes.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def by_folder(paths: Sequence[bytes]) -> Iterator[Group]:
    """Paths by folder, in their order; a folder may come several times in a row."""
    if isinstance(paths, PackedPaths):
        yield from paths.groups()
        return
    for low in range(0, len(paths), _PAGE):
        part = paths[low : low + _PAGE]
        yield from Page.of(part).groups(0, len(part))


def paths_at(paths: Sequence[bytes], rows: NDArray[np.signedinteger[Any]]) -> list[bytes]:
    """The paths with these numbers: quickest if they are consecutive."""
    low, high = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    if isinstance(paths, PackedPaths) and high - low == len(rows) and (np.diff(rows) == 1).all():
        return list(paths.between(low, high))
    return [paths[row] for row in rows.tolist()]


def some_of(paths: Sequence[bytes], rows: NDArray[np.signedinteger[Any]]) -> Sequence[bytes]:
    """`paths_at`, still packed if they are consecutive paths that are."""
    low, high = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    if isinstance(paths, PackedPaths) and high - low == len(rows) and (rows[1:] > rows[:-1]).all():
        return paths[low:high]
    return paths_at(paths, rows)


class Page:
    """Some thousands of paths.

    `names` are side by side, and `ends` says where the first of them begins and each of them ends. Those from
    `runs[k]` on are in folder `folders[k]`; `runs[0]` is 0.
    """

    __slots__ = ("ends", "folders", "names", "runs")

    def __init__(self, names: bytes, ends: "array[int]", runs: "array[int]", folders: list[bytes]) -> None:
        self.names = names
        self.ends = ends
        self.runs = runs
        self.folders = folders

    @classmethod
    def of(cls, paths: Sequence[bytes]) -> "Page":
        if SEPARATOR not in (data := b"".join(paths)):  # all in one folder, the topmost
            ends = array("I", itertools.accumulate(map(len, paths), initial=0))
            return cls(data, ends, array("I", [0]), [b""])
        names: list[bytes] = []
        runs = array("I")
        folders: list[bytes] = []
        last: bytes | None = None
        for number, path in enumerate(paths):
            folder, _, name = path.rpartition(SEPARATOR)
            if folder != last:
                runs.append(number)
                folders.append(folder)
                last = folder
            names.append(name)
        ends = array("I", itertools.accumulate(map(len, names), initial=0))
        return cls(b"".join(names), ends, runs, folders)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def path(self, number: int) -> bytes:
        folder = self.folders[bisect_right(self.runs, number) - 1]
        name = self.names[self.ends[number] : self.ends[number + 1]]
        return folder + SEPARATOR + name if folder else name

    def part(self, low: int, high: int) -> "Page":
        """The paths from `low` up to `high`, of which there is at least one."""
        if high - low == len(self):
            return self
        first, last = bisect_right(self.runs, low) - 1, bisect_left(self.runs, high)
        runs = array("I", [0, *(run - low for run in self.runs[first + 1 : last])])
        return Page(self.names, self.ends[low : high + 1], runs, self.folders[first:last])

    def groups(self, low: int, high: int) -> Iterator[Group]:
        run = max(0, bisect_right(self.runs, low) - 1)
        data, ends = self.names, self.ends
        while low < high:
            stop = min(high, self.runs[run + 1] if run + 1 < len(self.runs) else high)
            edges = ends[low : stop + 1]
            yield self.folders[run], [data[a:b] for a, b in itertools.pairwise(edges)]
            low, run = stop, run + 1
