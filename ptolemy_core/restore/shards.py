"""Which shards make up which file: of CARs alone, without a catalog.

Shard N of `a/b.bin` stands as `a/b.bin.ptolemyN` (see `layout.names`); all but the last are of one size. How many
there are, no CAR says. A container is a range of the tree in path order: so nothing of a file follows where its CAR
holds something behind it, and a shard that is smaller than the others is the last.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from ptolemy_core.layout import names as car_names
from ptolemy_core.restore.dag import Entry
from ptolemy_core.restore.target import Names

_NAMED = 10
"""Missing shards that are named one by one."""


class Place(NamedTuple):
    """Where an entry goes: its real path, and its number if it is a shard."""

    names: Names
    shard: int | None


class Naming:
    """From the names that a CAR has to real ones.

    Args:
        raw: take every name as it is: CARs that Ptolemy didn't build may hold names that look like shards'.
    """

    def __init__(self, raw: bool = False) -> None:
        self._raw = raw
        self._folder: tuple[Names, Names] = ((), ())

    def folder(self, names: Names) -> Names:
        """The real path of a folder."""
        if self._raw:
            return names
        if names != self._folder[0]:
            self._folder = (names, tuple(_whole(name) for name in names))
        return self._folder[1]

    def place(self, entry: Entry) -> Place:
        """Where an entry goes."""
        if self._raw:
            return Place(entry.names, None)
        folder, name = self.folder(entry.names[:-1]), entry.names[-1]
        if entry.kind != "file":
            return Place((*folder, _whole(name)), None)
        real, shard = car_names.decode(name)
        return Place((*folder, real), shard)


def _whole(name: bytes) -> bytes:
    real, shard = car_names.decode(name)
    return name if shard is not None else real


@dataclass
class Split:
    """The shards of one file that CARs hold, by number.

    Attributes:
        names: real path of the file.
        shards: the entry of each number.
        twice: a number that stands for two different contents, and the CARs' numbers.
    """

    names: Names
    shards: dict[int, Entry] = field(default_factory=dict)
    twice: tuple[int, int, int] | None = None

    def add(self, number: int, entry: Entry) -> None:
        """Take a shard that was met."""
        known = self.shards.setdefault(number, entry)
        if known.cid != entry.cid:
            self.twice = self.twice or (number, known.spot.car, entry.spot.car)

    @property
    def size(self) -> int:
        """Bytes of all shards together."""
        return sum(entry.size for entry in self.shards.values())

    def lacks(self, sure: bool) -> str | None:
        """What keeps the shards from being the whole file; None if nothing does.

        Args:
            sure: whether it is known otherwise that no shard follows the last one.
        """
        top = max(self.shards)
        if self.twice:
            number = self.twice[0]
            return f"shard {number} stands in two CARs with different content: restore the versions apart"
        count = top + 1 - len(self.shards)
        if count:
            few: list[str] = []
            for number in range(top):
                if number not in self.shards:
                    few.append(str(number))
                    if len(few) == _NAMED:
                        break
            more = f" and {count - len(few)} more" if count > len(few) else ""
            which = "shard" if count == 1 else "shards"
            return f"{which} {', '.join(few)}{more} of {top + 1} or more missing: give the CARs that hold them too"
        if top == 0:
            return "only shard 0 is there, and a split file has more: give the CARs that hold the others too"
        sizes = [self.shards[number].size for number in range(top + 1)]
        if any(size != sizes[0] for size in sizes[:-1]) or sizes[-1] > sizes[0]:
            return "its shards' sizes don't belong together: restore the versions apart"
        if sizes[-1] == sizes[0] and not sure:
            return (
                f"shard {top} is as large as the others and the last of its CAR, so that more may follow: give the "
                "CAR that holds the next too; if these are all CARs there are, say so (--complete)"
            )
        return None
