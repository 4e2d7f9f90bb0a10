"""Verifies a CAR that Ptolemy built, in one pass: every hash, the whole DAG, the piece commitment.

One thread reads and follows the DAG, others hash what comes next. Memory doesn't grow with the CAR: see `threads`.

Specification: CARv1 (https://ipld.io/specs/transport/car/carv1/), `version=1; order=dfs; dups=y`, one root,
profile `unixfs-v1-2025` of IPIP-499, piece CIDs of FRC-0069. No code of the builder is used.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from os import PathLike, fsdecode
from typing import BinaryIO, cast

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.reader.blocks import checked, hash_faults
from ptolemy_core.reader.car import MAX_SECTION, CarReader
from ptolemy_core.reader.digests import Digests, Totals
from ptolemy_core.reader.entry import CarEntry, EachEntry, EntryReceiver, ExpectedEntry, FileRun
from ptolemy_core.reader.findings import CarError, Code, Finding, Findings
from ptolemy_core.reader.forward import CHUNK, ForwardFile
from ptolemy_core.reader.hashes import cid_text
from ptolemy_core.reader.limits import DEFAULT_LIMITS, Limits
from ptolemy_core.reader.listing import ListingCheck
from ptolemy_core.reader.opening import open_regular
from ptolemy_core.reader.ranges import RangeFile, Ranges
from ptolemy_core.reader.sections import Batch
from ptolemy_core.reader.threads import HashThreads, shared
from ptolemy_core.reader.tree import PreOrderWalk


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected properties of a CAR; values of None aren't compared.

    Attributes:
        payload_cid: binary root CID.
        piece_cid_v1: binary piece CID, `baga6ea4seaq...` as text.
        piece_cid_v2: binary piece CID, `bafkzcib...` as text.
        car_size: bytes of the file.
        piece_size: bytes of the padded piece.
        sha256: sha2-256 digest of the file, 32 bytes.
        entries: the listing in the CAR's depth-first order, without the root; consumed while the CAR is read.
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
    """The result of a verification.

    Attributes:
        name: the file's name as given by the caller.
        findings: what is wrong, in the order it was found; at most as many as the limit.
        size: bytes of the file.
        blocks: number of sections read.
        payload_cid: binary CID of the first root; None if there is none.
        piece_cid_v1: binary piece CID of the file's bytes; None if no piece is large enough.
        piece_cid_v2: the same, version 2.
        piece_size: bytes of the padded piece; None if no piece is large enough.
        sha256: sha2-256 digest of the file; None if not requested.
        files: number of files in the DAG.
        directories: number of folders, without the root.
        symlinks: number of symbolic links.
        file_bytes: bytes of content of the files.
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
    """Counts entries and passes them on, one by one or files together."""

    def __init__(self, receivers: list[EntryReceiver]) -> None:
        self.of_kind = {"file": 0, "directory": 0, "symlink": 0}
        self.file_bytes = 0
        self._receivers = receivers

    def entry(self, entry: CarEntry) -> None:
        self.of_kind[entry.kind] += 1
        if entry.kind == "file":
            self.file_bytes += entry.size
        for receiver in self._receivers:
            receiver.entry(entry)

    def files(self, files: FileRun) -> None:
        self.of_kind["file"] += len(files.sizes)
        self.file_bytes += sum(files.sizes)
        for receiver in self._receivers:
            receiver.files(files)


class _Blocks:
    """Reads a CAR's sections and checks their hashes and the DAG.

    Attributes:
        count: number of sections read.
        root: binary CID of the first root, if there is one.
    """

    def __init__(self, profile: Profile, findings: Findings, entries: _Counts) -> None:
        self.count = 0
        self.root: bytes | None = None
        self._profile = profile
        self._findings = findings
        self._entries = entries

    def read(
        self, file: BinaryIO | ForwardFile, name: str, limits: Limits, digests: Digests, threads: HashThreads
    ) -> None:
        """Read the whole file; all of its bytes go to `digests`, also those after a fault."""
        try:
            reader = CarReader(
                file,
                name,
                max_section=limits.section,
                tap=digests.update,
                read_size=CHUNK,
            )
        except CarError as error:
            self._findings.add_error(error)
            while chunk := file.read(MAX_SECTION):
                digests.update(chunk)
            return
        walk = self._start_walk(reader)
        try:
            with closing(checked(reader.batches(), threads, limits.findings)) as batches:
                for batch, faults in batches:
                    self.count += len(batch.sections)
                    self._findings.extend(faults)
                    if walk is not None:
                        _follow(batch, walk, self._findings)
        except CarError as error:
            self._findings.add_error(error)
        reader.drain()
        if walk is not None:
            walk.finish()

    def _start_walk(self, reader: CarReader) -> PreOrderWalk | None:
        """Check the header; a walk from its first root, if there is one."""
        version, roots = reader.header.version, reader.header.roots
        if version != 1:
            self._findings.add(Code.VERSION, 0, f"a CARv{version}; version 1 is stored in pieces")
        if len(roots) != 1:
            self._findings.add(Code.ROOTS, 0, f"{len(roots)} roots; there must be one")
        if not roots:
            return None
        self.root = roots[0]
        return PreOrderWalk(roots[0], self._profile, self._findings, self._entries)


def verify_car(
    path: str | bytes | PathLike[str] | Ranges,
    profile: Profile = UNIXFS_V1_2025,
    *,
    expect: Expected | None = None,
    receiver: EntryReceiver | None = None,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    sha256: bool = True,
) -> CarReport:
    """Verify a CAR that Ptolemy built: container, hashes, DAG, profile, piece commitment.

    A malformed CAR doesn't raise; the faults are in the report. For other tools' CARs use `inspect_car`.

    Args:
        path: the CAR file, or what gives ranges of its bytes.
        profile: the shape that files and folders must have.
        expect: the values to compare the CAR with.
        receiver: of the entries of the tree, after the hashes of their blocks are checked.
        progress: called with the bytes read since the last call, every few MiB.
        limits: of findings (sizes and digests still cover the whole file), sections and threads.
        sha256: whether to compute the file's sha2-256, which takes as long as all blocks' hashes together; it is
            always computed if one is expected.

    Raises:
        OSError: the file can't be opened or read.
    """
    findings = Findings(limits.findings)
    wanted = expect or Expected()
    listing = None if wanted.entries is None else ListingCheck(wanted.entries, findings)
    counts = _Counts([one for one in (receiver, listing) if one is not None])
    blocks = _Blocks(profile, findings, counts)
    whole = sha256 or wanted.sha256 is not None
    name = path.name if isinstance(path, Ranges) else fsdecode(path)
    with ExitStack() as stack:
        opened = stack.enter_context(_opened(path))
        pool = stack.enter_context(shared(limits.threads))
        file: BinaryIO | ForwardFile = opened
        if not isinstance(path, Ranges):
            file = stack.enter_context(ForwardFile(opened.fileno(), pool.chunks))
        digests = stack.enter_context(Digests(pool, progress, sha256=whole))
        blocks.read(file, name, limits, digests, pool)
        totals = digests.finish()
    if listing is not None:
        listing.finish(totals.size)
    report = _report(name, blocks, counts, totals)
    _compare(report, wanted, findings)
    return replace(report, findings=findings.items())


def _report(name: str, blocks: _Blocks, counts: _Counts, totals: Totals) -> CarReport:
    return CarReport(
        name=name,
        findings=(),
        size=totals.size,
        blocks=blocks.count,
        payload_cid=blocks.root,
        piece_cid_v1=totals.piece_cid_v1,
        piece_cid_v2=totals.piece_cid_v2,
        piece_size=totals.piece_size,
        sha256=totals.sha256,
        files=counts.of_kind["file"],
        directories=counts.of_kind["directory"],
        symlinks=counts.of_kind["symlink"],
        file_bytes=counts.file_bytes,
    )


def _opened(path: str | bytes | PathLike[str] | Ranges) -> BinaryIO:
    return cast(BinaryIO, RangeFile(path)) if isinstance(path, Ranges) else open_regular(path)


def read_entries(
    path: str | bytes | PathLike[str],
    profile: Profile = UNIXFS_V1_2025,
    *,
    max_section: int = MAX_SECTION,
) -> Iterator[CarEntry]:
    """The entries of a CAR that Ptolemy built, in depth-first order; each block's hash is checked first.

    Args:
        path: the CAR file.
        profile: the shape that files and folders must have.
        max_section: limit of a section's bytes.

    Raises:
        CarError: the first fault; the entries of the same batch of blocks aren't yielded.
        OSError: the file can't be opened or read.
    """
    findings = Findings(1)
    name = fsdecode(path)
    entries: list[CarEntry] = []
    with open_regular(path) as file:
        reader = CarReader(file, name, max_section=max_section)
        if len(reader.header.roots) != 1:
            raise CarError(Code.ROOTS, f"{len(reader.header.roots)} roots; there must be one", name, 0)
        walk = PreOrderWalk(reader.header.roots[0], profile, findings, EachEntry(entries.append))
        for batch in reader.batches():
            findings.extend(hash_faults(batch, 1))
            _follow(batch, walk, findings)
            _raise_first(findings, name)
            yield from entries
            entries.clear()
        walk.finish()
        _raise_first(findings, name)


def _raise_first(findings: Findings, name: str) -> None:
    for found in findings.items():
        raise CarError(found.code, found.message, name, found.offset)


def _follow(batch: Batch, walk: PreOrderWalk, findings: Findings) -> None:
    raw = profile_cid.RAW
    at, count = 0, len(batch.sections)
    while at < count and not findings.full:
        leaves = walk.leaves(batch, at)
        if leaves:
            at += leaves
            continue
        section = batch.sections[at]
        walk.block(section, b"" if section.cid[1] == raw else batch.data(section))
        at += 1


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
