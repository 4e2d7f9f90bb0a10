"""Verifies a CAR that Ptolemy built, in one pass: every hash, the whole DAG, the piece commitment.

Specification: CARv1 (https://ipld.io/specs/transport/car/carv1/), `version=1; order=dfs; dups=y`, one root,
profile `unixfs-v1-2025` of IPIP-499, piece CIDs of FRC-0069. Nothing of the writer is used or trusted.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from os import PathLike, fsdecode

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.reader import car as reader_car
from ptolemy_core.reader.car import MAX_SECTION, Batch, CarReader, Section
from ptolemy_core.reader.digests import Digests
from ptolemy_core.reader.entry import Entry, ExpectedEntry
from ptolemy_core.reader.findings import CarError, Code, Finding, Findings
from ptolemy_core.reader.hashes import cid_text, hash_matches, is_profile_cid, mismatches, parse_cid
from ptolemy_core.reader.listing import ListingCheck
from ptolemy_core.reader.opening import open_regular
from ptolemy_core.reader.tree import PreOrderWalk

_LANES = 4
"""Reads of a verification are so many times larger than usual: the kernel hashes sixteen leaves side by side."""
MAX_FINDINGS = 100
"""Findings after which a verification looks for no more by default."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a caller knows of a CAR; a value of None isn't compared.

    Attributes:
        payload_cid: binary root CID.
        piece_cid_v1: binary piece CID, `baga6ea4seaq...` as text.
        piece_cid_v2: binary piece CID, `bafkzcib...` as text.
        car_size: bytes of the file.
        piece_size: bytes of the padded piece.
        sha256: sha2-256 digest of the file, 32 bytes.
        entries: the listing in the CAR's depth-first order, without the root; it is read as the CAR is.
    """

    payload_cid: bytes | None = None
    piece_cid_v1: bytes | None = None
    piece_cid_v2: bytes | None = None
    car_size: int | None = None
    piece_size: int | None = None
    sha256: bytes | None = None
    entries: Iterable[ExpectedEntry] | None = None


@dataclass(frozen=True, slots=True)
class CarReport:
    """What a verification found.

    Attributes:
        name: the file's name as it was given.
        findings: what is wrong, as it was found; at most as many as were asked for.
        size: bytes of the file.
        blocks: sections read.
        payload_cid: binary CID of the first root, None when there is none.
        piece_cid_v1: binary piece CID of the file's bytes, None of a file that no piece is large enough for.
        piece_cid_v2: as above, version 2.
        piece_size: bytes of the padded piece, None as above.
        sha256: sha2-256 digest of the file, None if it wasn't asked for.
        files: files met in the DAG.
        directories: folders met, the root not counted.
        symlinks: symbolic links met.
        file_bytes: bytes of content of the files met.
    """

    name: str
    findings: tuple[Finding, ...]
    size: int
    blocks: int
    payload_cid: bytes | None
    piece_cid_v1: bytes | None
    piece_cid_v2: bytes | None
    piece_size: int | None
    sha256: bytes | None
    files: int
    directories: int
    symlinks: int
    file_bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


class _Counts:
    """Counts entries and hands them on."""

    def __init__(self, hands: list[Callable[[Entry], None]]) -> None:
        self.of_kind = {"file": 0, "directory": 0, "symlink": 0}
        self.file_bytes = 0
        self._hands = hands

    def entry(self, entry: Entry) -> None:
        self.of_kind[entry.kind] += 1
        if entry.kind == "file":
            self.file_bytes += entry.size
        for hand in self._hands:
            hand(entry)


def verify_car(
    path: str | bytes | PathLike[str],
    profile: Profile = UNIXFS_V1_2025,
    *,
    expect: Expected | None = None,
    on_entry: Callable[[Entry], None] | None = None,
    progress: Callable[[int], None] | None = None,
    max_findings: int = MAX_FINDINGS,
    max_section: int = MAX_SECTION,
    sha256: bool = True,
) -> CarReport:
    """Verify a CAR that Ptolemy built: container, hashes, DAG, profile, piece commitment.

    A malformed CAR never raises; what is wrong is in the report. For CARs of others: `inspect_car`.

    Args:
        path: the CAR file.
        profile: the shape that files and folders must have.
        expect: what the CAR is compared with.
        on_entry: is called with each entry of the tree, in the CAR's order, the block's hash already checked.
        progress: called with the bytes read since the last call, every few MiB.
        max_findings: findings after which nothing more is looked for; sizes and digests
            still cover the whole file.
        max_section: bytes that a section may have.
        sha256: whether to take the file's sha2-256, which costs as much as all blocks' hashes together; it is
            taken anyway where one is expected.

    Raises:
        OSError: the file can't be opened or read.
    """
    findings = Findings(max_findings)
    wanted = expect or Expected()
    listing = None if wanted.entries is None else ListingCheck(wanted.entries, findings)
    counts = _Counts([hand for hand in (on_entry, listing.entry if listing else None) if hand])
    blocks = 0
    root: bytes | None = None
    whole = sha256 or wanted.sha256 is not None
    with open_regular(path) as file, Digests(progress, sha256=whole) as digests:
        walk: PreOrderWalk | None = None
        try:
            reader = CarReader(
                file,
                fsdecode(path),
                max_section=max_section,
                tap=digests.update,
                read_size=_LANES * reader_car.READ_SIZE,
            )
        except CarError as error:
            findings.add_error(error)
            while chunk := file.read(MAX_SECTION):
                digests.update(chunk)
        else:
            roots = reader.header.roots
            root = roots[0] if roots else None
            if reader.header.version != 1:
                findings.add(Code.VERSION, 0, f"a CARv{reader.header.version}; version 1 is stored in pieces")
            if len(roots) != 1:
                findings.add(Code.ROOTS, 0, f"{len(roots)} roots; there must be one")
            if root is not None:
                walk = PreOrderWalk(root, profile, findings, counts.entry)
            try:
                for batch in reader.batches():
                    blocks += len(batch.sections)
                    _check_hashes(batch, findings)
                    if walk is not None:
                        _follow(batch, walk, findings)
            except CarError as error:
                findings.add_error(error)
            reader.drain()
        totals = digests.finish()
    if walk is not None:
        walk.finish()
    if listing is not None:
        listing.finish(totals.size)
    report = CarReport(
        name=fsdecode(path),
        findings=(),
        size=totals.size,
        blocks=blocks,
        payload_cid=root,
        piece_cid_v1=totals.piece_cid_v1,
        piece_cid_v2=totals.piece_cid_v2,
        piece_size=totals.piece_size,
        sha256=totals.sha256,
        files=counts.of_kind["file"],
        directories=counts.of_kind["directory"],
        symlinks=counts.of_kind["symlink"],
        file_bytes=counts.file_bytes,
    )
    _compare(report, wanted, findings)
    return replace(report, findings=findings.items())


def read_entries(
    path: str | bytes | PathLike[str],
    profile: Profile = UNIXFS_V1_2025,
    *,
    max_section: int = MAX_SECTION,
) -> Iterator[Entry]:
    """The entries of a CAR that Ptolemy built, in its depth-first order, each block's hash checked before.

    Args:
        path: the CAR file.
        profile: the shape that files and folders must have.
        max_section: bytes that a section may have.

    Raises:
        CarError: the first thing that is wrong; the entries of the blocks read with it aren't yielded.
        OSError: the file can't be opened or read.
    """
    findings = Findings(1)
    name = fsdecode(path)
    entries: list[Entry] = []
    with open_regular(path) as file:
        reader = CarReader(file, name, max_section=max_section)
        if len(reader.header.roots) != 1:
            raise CarError(Code.ROOTS, f"{len(reader.header.roots)} roots; there must be one", name, 0)
        walk = PreOrderWalk(reader.header.roots[0], profile, findings, entries.append)
        for batch in reader.batches():
            _check_hashes(batch, findings)
            _follow(batch, walk, findings)
            _raise_first(findings, name)
            yield from entries
            entries.clear()
        walk.finish()
        _raise_first(findings, name)


def _raise_first(findings: Findings, name: str) -> None:
    for found in findings.items():
        raise CarError(found.code, found.message, name, found.offset)


def _check_hashes(batch: Batch, findings: Findings) -> None:
    """Every block of the profile against its CID at once, any other one by one."""
    if findings.full:
        return
    buffer, base, sections = batch
    usual = [section for section in sections if is_profile_cid(section.cid)]
    wrong = mismatches(
        buffer,
        [section.cid for section in usual],
        [section.data_offset - base for section in usual],
        [section.length for section in usual],
    )
    for index in wrong:
        _hash_mismatch(usual[index], findings)
    if len(usual) == len(sections):
        return
    for section in sections:
        if not is_profile_cid(section.cid):
            reason = f"{cid_text(section.cid)} isn't a CIDv1 of raw or dag-pb under sha2-256"
            findings.add(Code.CID, section.offset, reason)
            if hash_matches(parse_cid(section.cid), _data(batch, section)) is False:
                _hash_mismatch(section, findings)


def _hash_mismatch(section: Section, findings: Findings) -> None:
    reason = f"{cid_text(section.cid)}: the block of {section.length} bytes has another hash"
    findings.add(Code.HASH_MISMATCH, section.offset, reason)


def _data(batch: Batch, section: Section) -> bytes:
    at = section.data_offset - batch.base
    return batch.buffer[at : at + section.length]


def _follow(batch: Batch, walk: PreOrderWalk, findings: Findings) -> None:
    raw = profile_cid.RAW
    for section in batch.sections:
        if findings.full:
            return
        walk.block(section, b"" if section.cid[1] == raw else _data(batch, section))


def _compare(report: CarReport, want: Expected, findings: Findings) -> None:
    if report.piece_size is None:
        findings.add(Code.SIZE_MISMATCH, 0, f"a CAR of {report.size} bytes is larger than the largest piece")
    cids = (
        (Code.PAYLOAD_MISMATCH, "the root", want.payload_cid, report.payload_cid),
        (Code.PIECE_MISMATCH, "the piece CID v1", want.piece_cid_v1, report.piece_cid_v1),
        (Code.PIECE_MISMATCH, "the piece CID v2", want.piece_cid_v2, report.piece_cid_v2),
    )
    for code, what, wanted, got in cids:
        if wanted is not None and wanted != got:
            shown = "none" if got is None else cid_text(got)
            findings.add(code, 0, f"{what} is {shown}, expected {cid_text(wanted)}")
    sizes = (
        (Code.SIZE_MISMATCH, "the CAR", want.car_size, report.size),
        (Code.PIECE_MISMATCH, "the piece", want.piece_size, report.piece_size),
    )
    for code, what, size, got_size in sizes:
        if size is not None and size != got_size:
            findings.add(code, 0, f"{what} has {got_size} bytes, expected {size}")
    if want.sha256 is not None and report.sha256 is not None and want.sha256 != report.sha256:
        reason = f"the CAR's sha2-256 is {report.sha256.hex()}, expected {want.sha256.hex()}"
        findings.add(Code.SHA256_MISMATCH, 0, reason)
