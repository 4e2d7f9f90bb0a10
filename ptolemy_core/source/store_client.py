"""What a source takes of an object store: who lists its keys, who reads its objects, who knows unfinished uploads.

Each kind of store has its own; `objects` knows no more of it than this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ptolemy_core.source.listing import Object
from ptolemy_core.source.store_errors import StoreError


class Keys(Protocol):
    """Says which keys there are. Thread-safe; each method raises StoreError."""

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All objects whose keys begin with the prefix, in any order."""

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether a key begins with the prefix; the store may be away for so long."""

    def has_folder(self, key: str) -> bool:
        """Whether there is a folder of that key, which has no slash at its end."""


class OddKeyError(StoreError):
    """A key has a name that its client doesn't list; `keys` lists all."""

    def __init__(self, keys: Keys) -> None:
        super().__init__("a key has a name that its client doesn't list")
        self.keys = keys


@dataclass(frozen=True, slots=True)
class Head:
    """What a store says of an object: its size, the token of its ETag, and the ETag if it is a strong one."""

    size: int
    token: int
    etag: str | None = None


class Answer(Protocol):
    """An answer to a read: what it is of, and its bytes, in parts."""

    @property
    def head(self) -> Head: ...

    def parts(self) -> Iterator[memoryview]:
        """The bytes, as they come. Raises StoreError."""


class Client(Protocol):
    """Reads objects by their keys. Thread-safe; each method raises StoreError."""

    def head(self, key: str) -> Head:
        """What the store says of an object."""

    def get(self, key: str, start: int, end: int, etag: str | None = None) -> Answer:
        """The bytes of an object from `start` to before `end`; they may be more than one.

        If an ETag is given, the store is asked to refuse if the object has another one.
        """

    def whole(self, key: str) -> tuple[Head, memoryview]:
        """A small object."""


class Uploads:
    """Unfinished uploads that aren't deleted here: Azure does it after a week, others by a rule of the bucket."""

    def give_up(self, key: str) -> None:
        """Delete what earlier uploads of this key left. Raises StoreError."""

    def since(self, prefix: str) -> dict[str, float]:
        """Keys of this prefix with unfinished uploads, and when the last of each began. Raises StoreError."""
        return {}
