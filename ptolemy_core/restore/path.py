"""An entry's path while a tree is walked: a name and the folder above it, so that depth costs nothing.

A tuple of names would be copied for every entry, which takes quadratic time and memory in deep trees.
"""

import hashlib
from collections.abc import Iterable, Iterator

from ptolemy_core.tree import paths

Names = tuple[bytes, ...]

_SHOWN = 1000
"""Bytes of a path that messages show at most."""


class Path:
    """Names from the root of a tree down.

    Attributes:
        parent: the folder above, None for the root.
        name: the last name, empty for the root.
        depth: how many names there are.
    """

    __slots__ = ("_fault", "_key", "depth", "name", "parent")

    def __init__(self, parent: "Path | None", name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.depth: int = 0 if parent is None else parent.depth + 1
        self._key: bytes | None = None if parent else bytes(32)
        self._fault: str | None = None if parent else ""

    def child(self, name: bytes) -> "Path":
        """The path of this name below."""
        return Path(self, name)

    def upwards(self) -> "Iterator[Path]":
        """This path and those above it, without the root."""
        here = self
        while here.parent is not None:
            yield here
            here = here.parent

    def __iter__(self) -> Iterator[bytes]:
        """The names, from the top."""
        return reversed([one.name for one in self.upwards()])

    def __len__(self) -> int:
        return self.depth

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        """The NUL-joined form."""
        return paths.join_names(self)

    @property
    def key(self) -> bytes:
        """A digest that stands for the whole path, made from that of the folder above."""
        unknown = self._unknown("_key")
        for one in reversed(unknown):
            assert one.parent is not None
            assert one.parent._key is not None
            one._key = hashlib.sha256(one.parent._key + one.name).digest()
        assert self._key is not None
        return self._key

    @property
    def fault(self) -> str:
        """Why no file may be at this path: one of its names could lead out of the target; empty if none does."""
        for one in reversed(self._unknown("_fault")):
            assert one.parent is not None
            one._fault = one.parent._fault or _name_fault(one.name)
        return self._fault or ""

    def _unknown(self, what: str) -> "list[Path]":
        """This path and those above it for which a derived value isn't known yet."""
        unknown: list[Path] = []
        here: Path | None = self
        while here is not None and getattr(here, what) is None:
            unknown.append(here)
            here = here.parent
        return unknown

    def shown(self) -> bytes:
        """The NUL-joined form for messages, with the middle left out where it is long."""
        size, ending = 0, []
        for one in self.upwards():
            size += len(one.name) + 1
            if size > _SHOWN:
                break
            ending.append(one.name)
        else:
            return paths.join_names(reversed(ending))
        if not ending:
            return self.name[:_SHOWN] + b"..."
        return paths.join_names([b"...", *reversed(ending)])


def _name_fault(name: bytes) -> str:
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        return f"{name[:300]!r} isn't a valid file name: it could lead out of the target folder"
    return ""


ROOT = Path(None, b"")


def path_of(names: "Iterable[bytes] | Path") -> Path:
    """The path of these names; a path as it is."""
    if isinstance(names, Path):
        return names
    here = ROOT
    for name in names:
        here = Path(here, name)
    return here
