"""All that one reading tells of a CAR of any maker: sound, whole, its CIDs, and what is unusual in it.

Sound: every block is what its CID says, and the container is well formed. Whole: every block that a dag-pb node links
to is there, and so are the roots. What is unusual is no fault: readers differ in what of it they accept.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from os import PathLike

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.reader.dagpb import DagPbError, decode_node
from ptolemy_core.reader.digests import Digests
from ptolemy_core.reader.entry import CarEntry, EachEntry
from ptolemy_core.reader.findings import Code, Finding, Findings
from ptolemy_core.reader.hashes import IDENTITY, cid_text, is_profile_cid, parse_cid
from ptolemy_core.reader.inspection import CarInspection, inspect_car
from ptolemy_core.reader.limits import DEFAULT_LIMITS, Limits
from ptolemy_core.reader.sections import Batch, Section
from ptolemy_core.reader.threads import shared
from ptolemy_core.reader.tree import PreOrderWalk
from ptolemy_core.sizes import counted

_EXCHANGED = 2 << 20
"""Bytes of a block that IPFS nodes exchange at most."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes:
        inspection: the container, and whether each block is what its CID says.
        size: bytes of the file.
        sha256: of the file, 32 bytes.
        piece_cid_v1, piece_cid_v2, piece_size: of the piece that the file makes; None if it is too large for any.
        repeated: blocks that are there more than once, beyond the first time.
        cids: of all blocks.
        missing: CIDs that are linked to, or are roots, and whose blocks aren't in the CAR.
        unlinked: distinct blocks that nothing links to; 0 where not all links are known.
        unread: blocks that may have links which weren't followed: neither raw nor dag-pb.
        large: blocks larger than IPFS nodes exchange.
        profile_fault: why it isn't a CAR as Ptolemy builds them; None: it is one.
    """

    inspection: CarInspection
    size: int
    sha256: bytes | None
    piece_cid_v1: bytes | None
    piece_cid_v2: bytes | None
    piece_size: int | None
    repeated: int
    cids: frozenset[bytes]
    missing: frozenset[bytes]
    unlinked: int
    unread: int
    large: int
    profile_fault: Finding | None

    @property
    def is_sound(self) -> bool:
        """Whether the container is well formed, and each block that can be checked is what its CID says."""
        return self.inspection.ok

    @property
    def is_whole(self) -> bool:
        """Whether the roots, and all that dag-pb nodes link to, are in it."""
        return self.is_sound and not self.missing

    def oddities(self, elsewhere: Collection[bytes] = ()) -> tuple[str, ...]:
        """What is unusual, a sentence each; `elsewhere`: missing blocks that are in CARs read with it."""
        return (*_of_container(self), *_of_missing(self, elsewhere), *_of_blocks(self))


class _Dag:
    """Collects which blocks are there, which are linked to, and whether they are as Ptolemy orders them."""

    def __init__(self, profile: Profile) -> None:
        self.seen: set[bytes] = set()
        self.linked: set[bytes] = set()
        self.repeated = self.unread = self.large = 0
        self._faults = Findings(1)
        self._profile = profile
        self._walk: PreOrderWalk | None = None
        self._root: bytes | None = None

    def batch(self, batch: Batch) -> None:
        for section in batch.sections:
            self.large += section.length > _EXCHANGED
            new = section.cid not in self.seen
            self.repeated += not new
            self.seen.add(section.cid)
            codec = parse_cid(section.cid).codec
            data = b""
            if codec == profile_cid.DAG_PB:
                data = batch.data(section)
                if new:
                    self._links(data)
            elif codec != profile_cid.RAW:
                self.unread += 1
            self._follow(section, data)

    def _links(self, data: bytes) -> None:
        try:
            self.linked.update(link.cid for link in decode_node(data).links)
        except DagPbError:
            self.unread += 1

    def _follow(self, section: Section, data: bytes) -> None:
        """Feed the walk that knows Ptolemy's order; it starts at the first block, which must be the root."""
        if self._walk is None:
            self._root = section.cid
            self._walk = PreOrderWalk(
                section.cid, self._profile, self._faults, EachEntry(_ignore), in_parts=True
            )
        if self._faults.full:
            return
        if is_profile_cid(section.cid):
            self._walk.block(section, data)
        else:
            self._faults.add(Code.CID, section.offset, f"{cid_text(section.cid)} isn't of the profile")

    def fault(self, found: CarInspection, *, partial: bool) -> Finding | None:
        """Why it isn't a CAR as Ptolemy builds them; None: it is one. `partial`: it links to blocks elsewhere."""
        if self._walk is not None and not partial:  # the root of a data set links to all other CARs
            self._walk.finish()
        if found.findings:
            return found.findings[0]
        if found.version != 1:
            return Finding(Code.VERSION, 0, f"a CARv{found.version}")
        if len(found.roots) != 1:
            return Finding(Code.ROOTS, 0, f"{len(found.roots)} roots")
        if found.roots[0] != self._root:
            return Finding(Code.ORDER, 0, "its first block isn't the root's")
        return next(iter(self._faults.items()), None)


def _ignore(entry: CarEntry) -> None:
    pass


def survey_car(
    path: str | bytes | PathLike[str],
    *,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Survey:
    """Read a CAR of any maker once. A malformed CAR doesn't raise; its faults are in the result.

    Memory grows with the number of blocks, about 200 bytes each.

    Args:
        path: the CAR file.
        profile: of the CARs that Ptolemy builds.
        progress: called with the bytes read since the last call.
        limits: of findings, sections and threads.

    Raises:
        OSError: the file can't be opened or read.
    """
    dag = _Dag(profile)
    with shared(limits.threads) as threads, Digests(threads, progress) as digests:
        found = inspect_car(path, limits=limits, tap=digests.update, on_batch=dag.batch)
        totals = digests.finish()
    wanted = dag.linked.union(found.roots) - dag.seen
    missing = frozenset(cid for cid in wanted if parse_cid(cid).hash != IDENTITY)
    return Survey(
        inspection=found,
        size=totals.size,
        sha256=totals.sha256,
        piece_cid_v1=totals.piece_cid_v1,
        piece_cid_v2=totals.piece_cid_v2,
        piece_size=totals.piece_size,
        repeated=dag.repeated,
        cids=frozenset(dag.seen),
        missing=missing,
        unlinked=0 if dag.unread else len(dag.seen - dag.linked - set(found.roots)),
        unread=dag.unread,
        large=dag.large,
        profile_fault=dag.fault(found, partial=bool(missing)),
    )


def _of_container(survey: Survey) -> Iterator[str]:
    found = survey.inspection
    if found.version == 2:
        index = ", with an index that wasn't checked" if found.index_offset else ""
        yield f"a CARv2{index}: the piece CID is of the whole file; storage providers usually take CARv1"
    if found.version is not None and len(found.roots) != 1:
        yield f"{counted(len(found.roots), 'root')}: many tools expect one"
    if survey.piece_size is None:
        yield f"{survey.size:,} bytes are larger than the largest piece"


def _of_missing(survey: Survey, elsewhere: Collection[bytes]) -> Iterator[str]:
    there = len(survey.missing.intersection(elsewhere))
    if there:
        yield f"{counted(there, 'block')} that it links to {_are(there)} in others of these CARs"
    lost = sorted(survey.missing.difference(elsewhere))
    if lost:
        yield (
            f"{counted(len(lost), 'block')} that it links to {_are(len(lost))} not there, as {cid_text(lost[0])}: "
            "its DAG continues in other CARs, or the file was cut off between two blocks"
        )


def _of_blocks(survey: Survey) -> Iterator[str]:
    if survey.unlinked:
        yield f"{counted(survey.unlinked, 'block')} that nothing in it links to"
    if survey.repeated:
        yield f"{counted(survey.repeated, 'block')} repeated"
    if survey.large:
        yield f"{counted(survey.large, 'block')} larger than 2 MiB, which IPFS nodes don't exchange"
    if survey.inspection.unchecked:
        unchecked = counted(survey.inspection.unchecked, "block")
        yield f"{unchecked} not checked: the hash functions aren't supported"
    if survey.unread:
        yield f"{counted(survey.unread, 'block')} whose links weren't followed: neither raw nor dag-pb"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
