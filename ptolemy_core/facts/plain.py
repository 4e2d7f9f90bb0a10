"""What commands that need no catalog print with --json, as plain dictionaries: they start without pydantic.

Sizes are in bytes, CIDs are text, paths are for people (bytes that aren't text are escaped).
"""

from typing import NotRequired

from typing_extensions import TypedDict


class PathCid(TypedDict):
    """A file, folder or link, and its CID: `ptolemy cid`."""

    path: str
    cid: str


class PieceFacts(TypedDict):
    """A file as a piece: `ptolemy commp`."""

    path: str
    size: int
    piece_cid: str
    piece_cid_v2: str
    piece_size: int


class ProblemFacts(TypedDict):
    """A path that could not be restored, and why."""

    path: str
    reason: str


class RestoredFacts(TypedDict):
    """What a restore did: `ptolemy restore` and `ptolemy extract`.

    `already_there` counts entries that were whole before; `more_problems` those beyond the listed ones.
    """

    to: str
    files: int
    links: int
    empty_folders: int
    already_there: int
    bytes_written: int
    problems: list[ProblemFacts]
    more_problems: int
    warnings: list[str]


class ListedFacts(TypedDict):
    """An entry in CARs: `ptolemy extract --list`.

    `cid` is null for a file in shards; such a file has `shards`, and a `problem` if some are missing.
    """

    kind: str
    size: int
    cid: str | None
    path: str
    target: NotRequired[str]
    shards: NotRequired[str]
    problem: NotRequired[str | None]


class NeededCarFacts(TypedDict):
    """A CAR that a restore needs: where its file is, or why it can't be read."""

    container: int
    piece_cid: str
    piece_cid_v2: str
    payload_cid: str
    car_size: int
    path: str | None
    missing: str | None


class NeedsFacts(TypedDict):
    """What a restore would read: `ptolemy restore --list`. `unbuilt` are paths that are in no CAR yet."""

    entries: int
    bytes: int
    unbuilt: list[str]
    cars: list[NeededCarFacts]


class KeyFacts(TypedDict):
    """A version of an encryption key, without its bytes: `ptolemy keys list`. Times are as the provider has them."""

    alias: str
    version: int
    id: str | None
    created: str | None
    destroyed: str | None
    place: str
