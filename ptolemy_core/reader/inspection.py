"""Inspects a CAR made by any tool: version, roots, blocks and every supported hash, with no rules for the DAG.

Specification: https://ipld.io/specs/transport/car/ (CARv1, CARv2), https://github.com/multiformats/cid
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fsdecode

from ptolemy_core.kernel import Buffer
from ptolemy_core.reader.car import CarReader, Header
from ptolemy_core.reader.findings import CarError, Code, Finding, Findings
from ptolemy_core.reader.forward import ChunkBuffers, ForwardFile
from ptolemy_core.reader.hashes import cid_text, hash_matches, is_profile_cid, mismatches, parse_cid
from ptolemy_core.reader.limits import DEFAULT_LIMITS, Limits
from ptolemy_core.reader.opening import open_regular
from ptolemy_core.reader.sections import Batch


@dataclass(frozen=True, slots=True)
class CarInspection:
    """The result of an inspection.

    Attributes:
        name: the file's name as given by the caller.
        findings: what is wrong, in the order it was found.
        version: 1 or 2; None if the header can't be read.
        roots: binary CIDs of the header.
        blocks: number of sections read.
        block_bytes: bytes of data in them.
        unchecked: number of blocks that couldn't be checked, because their hash function isn't supported.
        codecs: number of blocks by multicodec.
        hashes: number of blocks by hash function.
        index_offset: byte offset of a CARv2's index, which isn't read; 0 if there is none.
    """

    name: str
    findings: tuple[Finding, ...]
    version: int | None
    roots: tuple[bytes, ...]
    blocks: int
    block_bytes: int
    unchecked: int
    codecs: dict[int, int]
    hashes: dict[int, int]
    index_offset: int

    @property
    def ok(self) -> bool:
        """Whether everything that could be checked is right."""
        return not self.findings


class _Tally:
    """Counts and checks blocks of any kind."""

    def __init__(self, findings: Findings) -> None:
        self.blocks = self.block_bytes = self.unchecked = 0
        self.codecs: dict[int, int] = {}
        self.hashes: dict[int, int] = {}
        self._findings = findings

    def batch(self, batch: Batch) -> None:
        base, sections = batch.base, batch.sections
        usual = [section for section in sections if is_profile_cid(section.cid)]
        wrong = {
            usual[at].offset
            for at in mismatches(
                batch.buffer,
                [section.cid for section in usual],
                [section.data_offset - base for section in usual],
                [section.length for section in usual],
            )
        }
        for section in sections:
            cid = parse_cid(section.cid)
            if is_profile_cid(section.cid):
                matches: bool | None = section.offset not in wrong
            else:
                matches = hash_matches(cid, batch.data(section))
            if matches is False:
                reason = f"{cid_text(section.cid)}: the block of {section.length} bytes has another hash"
                self._findings.add(Code.HASH_MISMATCH, section.offset, reason)
            self.unchecked += matches is None
            self.codecs[cid.codec] = self.codecs.get(cid.codec, 0) + 1
            self.hashes[cid.hash] = self.hashes.get(cid.hash, 0) + 1
            self.block_bytes += section.length
        self.blocks += len(sections)


def inspect_car(
    path: str | bytes | PathLike[str],
    *,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    zero_is_end: bool = False,
    tap: Callable[[Buffer], None] | None = None,
    on_batch: Callable[[Batch], None] | None = None,
) -> CarInspection:
    """Read a whole CAR, version 1 or 2, and check each block whose hash function is supported.

    A malformed CAR doesn't raise; the faults are in the result.

    Args:
        path: the CAR file.
        progress: called with the bytes read since the last call, every few MiB.
        limits: of findings and sections.
        zero_is_end: treat a section of length zero as the end.
        tap: called with every byte of the file in order, also of what can't be read as a CAR.
        on_batch: called with the blocks in order, after their hashes are checked.

    Raises:
        OSError: the file can't be opened or read.
    """
    findings = Findings(limits.findings)
    tally = _Tally(findings)

    def passed(chunk: Buffer) -> None:
        if progress is not None:
            progress(len(chunk))
        if tap is not None:
            tap(chunk)

    with open_regular(path) as opened, ForwardFile(opened.fileno(), ChunkBuffers()) as file:
        reader: CarReader | None = None
        try:
            reader = CarReader(
                file, fsdecode(path), max_section=limits.section, zero_is_end=zero_is_end, tap=passed
            )
            for batch in reader.batches():
                tally.batch(batch)
                if on_batch is not None:
                    on_batch(batch)
        except CarError as error:
            findings.add_error(error)
        if tap is not None:
            _read_to_end(file, reader, passed)
    return _result(fsdecode(path), findings, tally, None if reader is None else reader.header)


def _result(name: str, findings: Findings, tally: _Tally, header: Header | None) -> CarInspection:
    return CarInspection(
        name=name,
        findings=findings.items(),
        version=header.version if header else None,
        roots=header.roots if header else (),
        blocks=tally.blocks,
        block_bytes=tally.block_bytes,
        unchecked=tally.unchecked,
        codecs=tally.codecs,
        hashes=tally.hashes,
        index_offset=header.index_offset if header else 0,
    )


def _read_to_end(file: ForwardFile, reader: CarReader | None, passed: Callable[[Buffer], None]) -> None:
    if reader is not None:
        reader.drain()
        return
    while chunk := file.read():
        passed(chunk)
