"""Whether the tree in a CAR is what the scan saw and the receipt says."""

from collections.abc import Iterable

from ptolemy_core.catalog.shards import BuiltShard
from ptolemy_core.layout import names
from ptolemy_core.reader import CarEntry
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_SHOWN = 20
"""Differences of one sort that are named."""

_Key = tuple[bytes, int | None]
_Value = tuple[str, int, bytes, int]


class CarListing:
    """Entries found in a CAR, by real path and shard number; folders apart."""

    def __init__(self) -> None:
        self.found: dict[_Key, _Value] = {}
        self._folders: set[bytes] = set()
        self._twice: list[bytes] = []

    def add(self, entry: CarEntry) -> None:
        """Note an entry that was found."""
        parts = [names.decode(part) for part in entry.path.split(b"/")]
        path = paths.join_names(part for part, _ in parts)
        if entry.kind == "directory":
            self._folders.add(path)
            return
        key = (path, parts[-1][1])
        if key in self.found:
            self._twice.append(path)
        self.found[key] = (entry.kind, entry.size, entry.cid, entry.offset)

    def differences(self, shards: Iterable[BuiltShard]) -> list[str]:
        """How what was found differs from the shards in the catalog, as sentences."""
        problems = [f"{paths.display(path)} is in it twice" for path in self._twice[:_SHOWN]]
        folders: set[bytes] = set()
        extra = set(self.found)
        for one in shards:
            folder = paths.parent(one.path)
            while folder and folder not in folders:
                folders.add(folder)
                folder = paths.parent(folder)
            if one.kind == Kind.DIRECTORY:
                folders.add(one.path)
                continue
            key = (one.path, one.number)
            extra.discard(key)
            wanted = (KIND_NAMES[one.kind], one.length, one.cid, one.car_offset)
            if self.found.get(key) != wanted:
                problems.append(_difference(paths.display(one.path), self.found.get(key), wanted))
        missing, unknown = sorted(folders - self._folders), sorted(self._folders - folders)
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(extra)[:_SHOWN]]
        problems += [f"folder {paths.display(path)} is missing" for path in missing[:_SHOWN]]
        problems += [f"folder {paths.display(path)} isn't in the scan" for path in unknown[:_SHOWN]]
        return problems[: 5 * _SHOWN]


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"
