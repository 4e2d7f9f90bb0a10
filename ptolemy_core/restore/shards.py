"""Which shards make up which file: of CARs alone, without a catalog.

Shard N of `a/b.bin` stands as `a/b.bin.ptolemyN` (see `layout.names`); all but the last are of one size. How many
there are, no CAR says. A container is a range of the tree in path order: so nothing of a file follows where its CAR
holds something behind it, and a shard that is smaller than the others is the last.
"""

from dataclasses import dataclass, field

from ptolemy_core.restore.path import Path
from ptolemy_core.restore.walk import TreeEntry

_NAMED = 10
"""Missing shards that are named one by one."""


@dataclass
class Split:
    """The shards of one file that CARs hold, by number.

    Attributes:
        path: real path of the file.
        shards: the entry of each number.
        twice: a number that stands for two different contents, and the CARs' numbers.
    """

    path: Path
    shards: dict[int, TreeEntry] = field(default_factory=dict)
    twice: tuple[int, int, int] | None = None

    def add(self, number: int, entry: TreeEntry) -> None:
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
            return f"shard {number} is in two CARs with different content: restore the versions separately"
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
            return "its shards' sizes don't fit together: restore the versions separately"
        if sizes[-1] == sizes[0] and not sure:
            return (
                f"shard {top} is as large as the others and the last of its CAR, so that more may follow: give the "
                "CAR that holds the next too; if there are no other CARs, add --complete"
            )
        return None
