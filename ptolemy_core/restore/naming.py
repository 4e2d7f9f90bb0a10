"""From the names that a CAR has to real ones, and the last path of a tree while it is walked.

Shard N of `a/b.bin` is `a/b.bin.ptolemyN` in its CAR (see `layout.names`).
"""

from ptolemy_core.layout import names as car_names
from ptolemy_core.tree import paths


class Naming:
    """From the names that a CAR has to real ones.

    Args:
        raw: take every name as it is: a data set's own root has real names, and CARs that Ptolemy didn't build may
            hold names that look like shards'.
    """

    def __init__(self, raw: bool = False) -> None:
        self.raw = raw

    def file(self, name: bytes) -> tuple[bytes, int | None]:
        """The real name of a file, and its number if it is a shard."""
        return (name, None) if self.raw else car_names.decode(name)

    def other(self, name: bytes) -> bytes:
        """The real name of a folder or link."""
        if self.raw:
            return name
        real, shard = car_names.decode(name)
        return name if shard is not None else real


class Furthest:
    """The last path, in path order, of those met while a tree is walked folder by folder.

    Attributes:
        names: of that path.
    """

    def __init__(self) -> None:
        self.names: list[bytes] = []

    def meet(self, last: bool, depth: int, name: bytes) -> bool:
        """Take a name in a folder; returns whether the path with it is a beginning of the last one now.

        Args:
            last: whether the folder's path is a beginning of the last one.
            depth: names in the folder's path.
            name: in the folder.
        """
        if not last:
            return False
        if depth == len(self.names) or name > self.names[depth]:
            del self.names[depth:]
            self.names.append(name)
            return True
        return name == self.names[depth]

    def is_behind(self, path: bytes) -> bool:
        """Whether something that was met comes after this NUL-joined path."""
        return paths.join_names(self.names) > path
