"""Whether the tree in a CAR is what the scan saw and the receipt says.

A CAR holds its entries in the order of the plan, but for those of folders that are HAMTs. So what is found is
compared with what comes next in the plan, and only what isn't that is kept until all is found.
"""

from ptolemy_core.catalog.shards import BuiltShards
from ptolemy_core.layout import WHOLE, names
from ptolemy_core.reader import Entry
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_SHOWN = 20
"""Differences of one sort that are named."""

_Key = tuple[bytes, int]
_Value = tuple[str, int, bytes, int]


class CarListing:
    """Compares the entries found in a CAR with the shards of the catalog.

    Attributes:
        count: files, shards and links found.
    """

    def __init__(self, shards: BuiltShards) -> None:
        """Compare with these shards."""
        self.count = 0
        self._shards = shards
        self._next = 0
        self._others: dict[_Key, _Value] = {}
        """What was found and wasn't next, by real path and shard number."""
        self._folders: set[bytes] = set()
        self._twice: list[bytes] = []

    def add(self, entry: Entry) -> None:
        """Note an entry that was found."""
        if names.may_be_encoded(entry.path):
            parts = [names.decode(part) for part in entry.path.split(b"/")]
            path = paths.join_names(part for part, _ in parts)
            number = parts[-1][1]
        else:
            path, number = paths.from_slashes(entry.path), None
        if entry.kind == "directory":
            self._folders.add(path)
            return
        self.count += 1
        key = (path, WHOLE if number is None else number)
        self._note(key, (entry.kind, entry.size, entry.cid, entry.offset))

    def _note(self, key: _Key, value: _Value) -> None:
        shards = self._shards
        while self._next < len(shards) and shards.kinds[self._next] == Kind.DIRECTORY:
            self._next += 1
        at = self._next
        if at < len(shards) and key == self._key(at) and value == self._value(at):
            self._next += 1
            return
        if key in self._others:
            self._twice.append(key[0])
        self._others[key] = value

    def _key(self, at: int) -> _Key:
        return self._shards.paths[at], self._shards.numbers[at]

    def _value(self, at: int) -> _Value:
        shards = self._shards
        return KIND_NAMES[Kind(shards.kinds[at])], shards.lengths[at], shards.cids[at], shards.offsets[at]

    def differences(self) -> list[str]:
        """How what was found differs from the shards in the catalog, as sentences."""
        problems = [f"{paths.display(path)} is in it twice" for path in self._twice[:_SHOWN]]
        extra = set(self._others)
        for at in range(self._next, len(self._shards)):
            if self._shards.kinds[at] == Kind.DIRECTORY:
                continue
            key, wanted = self._key(at), self._value(at)
            extra.discard(key)
            got = self._others.get(key)
            if got != wanted:
                problems.append(_difference(paths.display(key[0]), got, wanted))
        known = {self._key(at) for at in range(self._next)} if extra else set()
        problems += [f"{paths.display(path)} is in it twice" for path, _ in sorted(extra & known)[:_SHOWN]]
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(extra - known)[:_SHOWN]]
        folders = _folders(self._shards)
        missing, unknown = sorted(folders - self._folders), sorted(self._folders - folders)
        problems += [f"folder {paths.display(path)} is missing" for path in missing[:_SHOWN]]
        problems += [f"folder {paths.display(path)} isn't in the scan" for path in unknown[:_SHOWN]]
        return problems[: 5 * _SHOWN]


def _folders(shards: BuiltShards) -> set[bytes]:
    """The folders above shards, and those that are empty."""
    parents = {path.rpartition(paths.SEPARATOR)[0] for path in shards.paths}
    empty = [path for path, kind in zip(shards.paths, shards.kinds, strict=True) if kind == Kind.DIRECTORY]
    folders: set[bytes] = set(empty)
    for folder in parents:
        while folder and folder not in folders:
            folders.add(folder)
            folder = paths.parent(folder)
    return folders


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"
