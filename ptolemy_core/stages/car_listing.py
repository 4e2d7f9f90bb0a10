"""Whether the tree in a CAR is what the scan saw and the receipt says.

Where names are encrypted and their key isn't there, entries are found by their places in the CAR instead.
"""

from collections.abc import Iterable

from ptolemy_core.catalog.shards import BuiltShard
from ptolemy_core.encryption import PLAIN, Form, ProjectCipher
from ptolemy_core.layout import names
from ptolemy_core.reader import CarEntry
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_SHOWN = 20
"""Differences of one sort that are named."""

_Key = tuple[bytes, int | None]
_Value = tuple[str, int, bytes, int]


class CarListing:
    """Entries found in a CAR, by path without marks of shards, and shard number; folders apart.

    Args:
        form: what is encrypted in the CAR.
        cipher: of its project; None if it isn't encrypted, or the key isn't there.
    """

    def __init__(self, form: Form = PLAIN, cipher: ProjectCipher | None = None) -> None:
        self._form = form
        self._cipher = cipher
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
        if self._form.names and self._cipher is None:
            return self._differences_by_place(shards)
        problems = [f"{paths.display(path)} is in it twice" for path in self._twice[:_SHOWN]]
        folders: set[bytes] = set()
        extra = set(self.found)
        for one in shards:
            car_path = self._cipher.car_path(one.path) if self._cipher else one.path
            folder = paths.parent(car_path)
            while folder and folder not in folders:
                folders.add(folder)
                folder = paths.parent(folder)
            if one.kind == Kind.DIRECTORY:
                folders.add(car_path)
                continue
            key = (car_path, one.number)
            extra.discard(key)
            wanted = self._wanted(one)
            if self.found.get(key) != wanted:
                problems.append(_difference(paths.display(one.path), self.found.get(key), wanted))
        missing, unknown = sorted(folders - self._folders), sorted(self._folders - folders)
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(extra)[:_SHOWN]]
        problems += [f"folder {paths.display(path)} is missing" for path in missing[:_SHOWN]]
        problems += [f"folder {paths.display(path)} isn't in the scan" for path in unknown[:_SHOWN]]
        return problems[: 5 * _SHOWN]

    def _differences_by_place(self, shards: Iterable[BuiltShard]) -> list[str]:
        """`differences` without names: each entry must be at its place, and no other may be there."""
        at = {value[3]: value for value in self.found.values()}
        problems = []
        for one in shards:
            if one.kind == Kind.DIRECTORY:
                continue
            wanted = self._wanted(one)
            got = at.pop(one.car_offset, None)
            if got != wanted:
                problems.append(_difference(paths.display(one.path), got, wanted))
        problems += [f"the entry at byte {offset} isn't in the scan" for offset in sorted(at)[:_SHOWN]]
        return problems[: 5 * _SHOWN]

    def _wanted(self, one: BuiltShard) -> _Value:
        return (KIND_NAMES[one.kind], one.range_in_car(self._form)[1], one.cid, one.car_offset)


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"
