"""What a CID that the catalog knows names, and the ways from it to names below: folders, files, links.

Blocks of containers come from their CARs as they are. The folders of a whole data set are in a CAR of their own, the
files below them in those of the containers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ptolemy_core.car import nodes
from ptolemy_core.catalog import served
from ptolemy_core.catalog.served import HeldCar, HeldItem, HeldSplit
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import hamt
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StagingError
from ptolemy_core.gateway import files, folders
from ptolemy_core.gateway.answer import Part, Span
from ptolemy_core.gateway.files import Range
from ptolemy_core.gateway.folders import FolderIndex, IndexCache, Section
from ptolemy_core.gateway.library import Library
from ptolemy_core.layout import HEADER_SIZE
from ptolemy_core.reader.dagpb import DagPbError, Node, Type, UnixFs, decode_node, decode_unixfs
from ptolemy_core.tree import Kind

_HEX_DIGITS = 2
"""Of a slot, before a name in a node of a HAMT."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The CARs of a server.

    Attributes:
        catalog: says what they hold.
        library: where they are open.
        profile: of their DAGs.
        indexes: of their folders.
    """

    catalog: Catalog
    library: Library
    profile: Profile = UNIXFS_V1_2025
    indexes: IndexCache = field(default_factory=IndexCache)


class Target(Protocol):
    """What a CID or a path leads to.

    Attributes:
        cid: binary.
        size: bytes of a file; None of anything else.
        blocks: about how many are below.
    """

    @property
    def cid(self) -> bytes: ...

    @property
    def size(self) -> int | None: ...

    @property
    def blocks(self) -> int: ...

    def block(self) -> Part:
        """The section of its root block."""

    def entity(self, wanted: Range | None) -> Iterator[Part]:
        """The sections of a file, or of its part that a range needs; of a folder, those that tell its entries."""

    def everything(self) -> Iterator[Part]:
        """The sections of all that is below, depth first."""

    def child(self, name: bytes) -> "tuple[list[Part], Target] | None":
        """What a folder has by this name, and the sections between; None if there is none."""


@dataclass(frozen=True, slots=True)
class ItemTarget:
    """A file, shard, link or empty folder in a container's CAR."""

    item: HeldItem
    profile: Profile

    @property
    def cid(self) -> bytes:
        """Of its root."""
        return self.item.cid

    @property
    def size(self) -> int | None:
        """Of a file."""
        return self.item.size if self.item.kind == Kind.FILE else None

    @property
    def blocks(self) -> int:
        """Leaves, and about as many nodes as there may be."""
        return 2 + self.item.size // self.profile.chunk

    def block(self) -> Part:
        """See `Target`."""
        return files.root_span(self.item, self.profile)

    def entity(self, wanted: Range | None) -> Iterator[Part]:
        """See `Target`."""
        return files.file_parts(self.item, wanted if self.size is not None else None, self.profile)

    def everything(self) -> Iterator[Part]:
        """See `Target`."""
        yield files.item_span(self.item, self.profile)

    def child(self, name: bytes) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class SplitTarget:
    """A file whose shards are in several CARs."""

    split: HeldSplit
    profile: Profile

    @property
    def cid(self) -> bytes:
        """Of the whole file."""
        return self.split.root.cid

    @property
    def size(self) -> int | None:
        """Of the file."""
        return self.split.size

    @property
    def blocks(self) -> int:
        """Leaves, and about as many nodes as there may be."""
        return 2 + self.split.size // self.profile.chunk

    def block(self) -> Part:
        """See `Target`."""
        return nodes.section(self.split.root.cid, self.split.root.block)

    def entity(self, wanted: Range | None) -> Iterator[Part]:
        """See `Target`."""
        return files.split_parts(self.split, wanted, self.profile)

    def everything(self) -> Iterator[Part]:
        """See `Target`."""
        return files.split_parts(self.split, None, self.profile)

    def child(self, name: bytes) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """A folder in the CAR of a container, or of a data set's root.

    Attributes:
        holdings, car: where it is.
        section: its node.
        end: of what is below it in the CAR; 0: the files below it are in other CARs.
        public: whether only what is public may be met below it.
    """

    holdings: Holdings
    car: HeldCar
    section: Section
    end: int
    public: bool

    @property
    def cid(self) -> bytes:
        """Of its node."""
        return self.section.cid

    @property
    def size(self) -> int | None:
        """None."""
        return None

    @property
    def blocks(self) -> int:
        """Those of the whole CAR."""
        return self.car.blocks

    def block(self) -> Part:
        """See `Target`."""
        return Span(self.car, self.section.offset, self.section.end - self.section.offset)

    def entity(self, wanted: Range | None) -> Iterator[Part]:
        """Its node, and all nodes of a HAMT."""
        todo = [self.section]
        while todo:
            section = todo.pop()
            yield Span(self.car, section.offset, section.end - section.offset)
            node, unixfs = _decoded(section)
            if unixfs.type == Type.HAMT:
                below = [link.cid for link in node.links if len(link.name or b"") == _HEX_DIGITS]
                todo.extend(self._node(one) for one in reversed(below))

    def everything(self) -> Iterator[Part]:
        """See `Target`."""
        if self.end:
            yield Span(self.car, self.section.offset, self.end - self.section.offset)
        else:
            yield from self._gathered()

    def child(self, name: bytes) -> tuple[list[Part], Target] | None:
        """See `Target`."""
        between: list[Part] = []
        section, level = self.section, 0
        while True:
            node, unixfs = _decoded(section)
            if unixfs.type != Type.HAMT:
                wanted = next((link.cid for link in node.links if link.name == name), None)
                break
            slot = b"%02X" % hamt.name_hash(name)[level]
            links = {link.name: link.cid for link in node.links if (link.name or b"").startswith(slot)}
            if slot not in links:
                wanted = links.get(slot + name)
                break
            section, level = self._node(links[slot]), level + 1
            between.append(Span(self.car, section.offset, section.end - section.offset))
        if wanted is None:
            return None
        found = self._target(wanted)
        return None if found is None else (between, found)

    def _target(self, wanted: bytes) -> Target | None:
        """What a link leads to."""
        found = self._find(wanted)
        if found is not None and _decoded(found[0])[1].type in (Type.DIRECTORY, Type.HAMT):
            return FolderTarget(self.holdings, self.car, *found, self.public)
        return file_target(self.holdings, wanted, public=self.public, of=self.car.stored.project)

    def _gathered(self) -> Iterator[Part]:
        """All below a folder of a data set's root: folders from this CAR, files from the others."""
        todo: list[Iterator[bytes]] = [iter([self.cid])]
        places: list[dict[bytes, list[HeldItem]]] = [{}]
        while todo:
            wanted = next(todo[-1], None)
            if wanted is None:
                todo.pop()
                places.pop()
                continue
            if wanted in places[-1]:
                yield files.item_span(_openable(self.holdings, places[-1][wanted]), self.holdings.profile)
                continue
            found = self._find(wanted)
            node, unixfs = _decoded(found[0]) if found else (None, None)
            if found is None or node is None or unixfs is None or unixfs.type == Type.FILE:
                target = file_target(self.holdings, wanted, public=self.public, of=self.car.stored.project)
                if target is None:
                    raise StagingError(f"no CAR here has {wanted.hex()}, which is below the data set's root")
                yield from target.everything()
                continue
            yield Span(self.car, found[0].offset, found[0].end - found[0].offset)
            links = [link.cid for link in node.links]
            todo.append(iter(links))
            places.append(
                served.items(
                    self.holdings.catalog,
                    links,
                    self.holdings.profile,
                    public=self.public,
                    of=self.car.stored.project,
                )
            )

    def _node(self, wanted: bytes) -> Section:
        found = self._find(wanted)
        if found is None:
            raise StagingError(
                f"a node of the folder {self.cid.hex()} isn't in {self.car.stored.file_name}: verify it"
            )
        return found[0]

    def _find(self, wanted: bytes) -> tuple[Section, int] | None:
        with self.holdings.library.use(self.car) as car:
            return _index(self.holdings, self.car).find(car, wanted)


def resolve(holdings: Holdings, wanted: bytes, *, public: bool) -> Target | None:
    """What a CID names that the catalog knows: a file, a shard, a CAR's root, a data set's; None if it is none.

    Raises:
        NotFoundError, StagingError, OutlineError, SourceError: its CARs can't be read.
    """
    roots = served.dataset_roots(holdings.catalog, wanted, public=public)
    whole = served.payloads(holdings.catalog, wanted, public=public)
    found = file_target(holdings, wanted, public=public)
    if found is not None and not roots:
        return found
    choice = [*whole, *roots]
    if not choice:
        return None
    held = holdings.library.first_of(choice)
    with holdings.library.use(held) as car:
        section = folders.read_section(car, HEADER_SIZE)
    end = held.size if held.container_id is not None else 0
    return FolderTarget(holdings, held, section, end, public)


def file_target(
    holdings: Holdings, wanted: bytes, *, public: bool, of: str | None = None
) -> ItemTarget | SplitTarget | None:
    """The file, shard, link or empty folder of a CID; None if the catalog knows none."""
    items = served.items(holdings.catalog, [wanted], holdings.profile, public=public, of=of).get(wanted)
    if items:
        return ItemTarget(_openable(holdings, items), holdings.profile)
    split = served.split_file(holdings.catalog, wanted, holdings.profile, public=public, of=of)
    return None if split is None else SplitTarget(split, holdings.profile)


def _openable(holdings: Holdings, choice: Sequence[HeldItem]) -> HeldItem:
    """The first of these items whose CAR can be opened."""
    held = holdings.library.first_of([one.car for one in choice])
    return next(one for one in choice if one.car is held)


def _index(holdings: Holdings, held: HeldCar) -> FolderIndex:
    def make() -> FolderIndex:
        with holdings.library.use(held) as car:
            if held.container_id is None:
                return folders.index_root(car)
            pages = served.extents(holdings.catalog, held.container_id, holdings.profile)
            return folders.index_container(car, pages, holdings.profile)

    return holdings.indexes.get(held.stored.payload_cid, make)


def _decoded(section: Section) -> tuple[Node, UnixFs]:
    try:
        node = decode_node(section.block)
        return node, decode_unixfs(node.data or b"", strict=False)
    except DagPbError as error:
        raise StagingError(f"a folder's node can't be read: {error}") from None
