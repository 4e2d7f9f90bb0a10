"""Whether the tree in a CAR is what the scan saw and the receipt says.

A CAR holds its entries in the order of the plan, but for those of folders that are HAMTs and for encrypted names. So
what is found is compared with what comes next in the plan, and only what isn't that is kept until all is found.

Where names are encrypted and their key isn't there, entries are found by their places in the CAR instead.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptolemy_core.catalog.shards import BuiltShards
from ptolemy_core.encryption import PLAIN, Form
from ptolemy_core.layout import WHOLE, names
from ptolemy_core.reader import CarEntry, FileRun
from ptolemy_core.tree import KIND_NAMES, Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher

_SHOWN = 20
"""Differences of one sort that are named."""

_Key = tuple[bytes, int]
_Value = tuple[str, int, bytes, int]
_Row = tuple[bytes, _Key, _Value]
"""Of a shard: its path in the source; its path in the CAR without marks of shards and its number; what it must be."""


class CarListing:
    """Compares the entries found in a CAR with the shards in the catalog.

    Attributes:
        count: files, shards and links found.
    """

    def __init__(
        self, shards: BuiltShards, form: Form = PLAIN, cipher: "ProjectCipher | None" = None
    ) -> None:
        """Compare with these shards.

        Args:
            shards: that the CAR must hold.
            form: what is encrypted in the CAR.
            cipher: of its project; None if it isn't encrypted, or the key isn't there.
        """
        self.count = 0
        self._shards = shards
        self._form = form
        self._cipher = cipher
        self._by_place = form.names and cipher is None
        self._rows = iter(()) if self._by_place else self._planned()
        self._next = next(self._rows, None)
        self._others: dict[_Key, _Value] = {}
        """What was found and wasn't next in the plan."""
        self._folders: set[bytes] = set()
        self._twice: list[bytes] = []

    def entry(self, entry: CarEntry) -> None:
        """Note an entry that was found."""
        number = WHOLE
        if names.may_be_encoded(entry.path):
            parts = [names.decode(part) for part in entry.path.split(b"/")]
            path = paths.join_names(part for part, _ in parts)
            number = WHOLE if parts[-1][1] is None else parts[-1][1]
        else:
            path = entry.path.replace(b"/", paths.SEPARATOR)
        if entry.kind == "directory":
            self._folders.add(path)
            return
        self.count += 1
        key, value = (path, number), (entry.kind, entry.size, entry.cid, entry.offset)
        if self._next is not None and key == self._next[1] and value == self._next[2]:
            self._next = next(self._rows, None)
            return
        if key in self._others:
            self._twice.append(path)
        self._others[key] = value

    def files(self, files: FileRun) -> None:
        """Note files of one folder that were found, as `entry` does with each."""
        folder = files.folder.replace(b"/", paths.SEPARATOR)
        for name, size, cid, offset in zip(files.names, files.sizes, files.cids, files.offsets, strict=True):
            if self._next is not None and not names.may_be_encoded(name):
                _, key, value = self._next
                if key[0] == folder + name and key[1] == WHOLE and value == ("file", size, cid, offset):
                    self.count += 1
                    self._next = next(self._rows, None)
                    continue
            self.entry(CarEntry(files.folder + name, "file", size, cid, offset))

    def differences(self) -> list[str]:
        """How what was found differs from the shards in the catalog, as sentences."""
        if self._by_place:
            return self._differences_by_place()
        problems = [f"{paths.display(path)} is in it twice" for path in self._twice[:_SHOWN]]
        extra = set(self._others)
        while self._next is not None:
            path, key, wanted = self._next
            extra.discard(key)
            got = self._others.get(key)
            if got != wanted:
                problems.append(_difference(paths.display(path), got, wanted))
            self._next = next(self._rows, None)
        again = extra & {key for _, key, _ in self._planned()} if extra else set()
        problems += [f"{paths.display(path)} is in it twice" for path, _ in sorted(again)[:_SHOWN]]
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(extra - again)[:_SHOWN]]
        folders = self._planned_folders()
        missing, unknown = sorted(folders - self._folders), sorted(self._folders - folders)
        problems += [f"folder {paths.display(path)} is missing" for path in missing[:_SHOWN]]
        problems += [f"folder {paths.display(path)} isn't in the scan" for path in unknown[:_SHOWN]]
        return problems[: 5 * _SHOWN]

    def _differences_by_place(self) -> list[str]:
        """`differences` without names: each entry must be at its place, and no other may be there."""
        at = {value[3]: value for value in self._others.values()}
        problems = []
        for path, _, wanted in self._planned():
            got = at.pop(wanted[3], None)
            if got != wanted:
                problems.append(_difference(paths.display(path), got, wanted))
        problems += [f"the entry at byte {offset} isn't in the scan" for offset in sorted(at)[:_SHOWN]]
        return problems[: 5 * _SHOWN]

    def _planned(self) -> Iterator[_Row]:
        """What the CAR must hold beside folders, in the order of the plan."""
        if self._form.files or self._form.names:
            for one in self._shards:
                if one.kind != Kind.DIRECTORY:
                    key = (self._car_path(one.path), WHOLE if one.number is None else one.number)
                    length = one.range_in_car(self._form)[1]
                    yield one.path, key, (KIND_NAMES[one.kind], length, one.cid, one.car_offset)
            return
        kinds = {int(kind): name for kind, name in KIND_NAMES.items() if kind != Kind.DIRECTORY}
        for path, kind, number, length, cid, offset in self._shards.listed():
            if kind in kinds:
                yield path, (path, number), (kinds[kind], length, cid, offset)

    def _planned_folders(self) -> set[bytes]:
        """Paths in the CAR of the folders above what it holds, and of those that are empty."""
        parents: set[bytes] = set()
        folders: set[bytes] = set()
        for path, kind, *_ in self._shards.listed():
            if kind == Kind.DIRECTORY:
                folders.add(self._car_path(path))
            parents.add(path.rpartition(paths.SEPARATOR)[0])
        for parent in parents:
            folder = self._car_path(parent)
            while folder and folder not in folders:
                folders.add(folder)
                folder = paths.parent(folder)
        return folders

    def _car_path(self, path: bytes) -> bytes:
        return self._cipher.car_path(path) if self._cipher and path else path


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"
