"""Checks the blocks of a CAR against their CIDs, many at once, on all cores, in the order of the file."""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice

from ptolemy_core.reader.findings import MAX_MESSAGE, CarError, Code, Finding
from ptolemy_core.reader.hashes import (
    cid_text,
    hash_matches,
    is_profile_cid,
    mismatches,
    mismatches_of_run,
    parse_cid,
)
from ptolemy_core.reader.sections import Batch, Section, SectionRun
from ptolemy_core.reader.threads import HashThreads, JobQueue


def hash_faults(batch: Batch, limit: int) -> list[Finding]:
    """Blocks that aren't what their CIDs say, and CIDs that aren't of the profile; at most `limit`."""
    return list(islice(_faults(batch), limit))


def checked(
    batches: Iterable[Batch], threads: HashThreads, limit: int
) -> Generator[tuple[Batch, list[Finding]], None, None]:
    """Each batch with its faults, in order; later batches are read and hashed meanwhile.

    Raises:
        CarError: as `batches` does, after the batches before it.
    """
    jobs: JobQueue[Batch, list[Finding]] = JobQueue(threads)
    with jobs:
        try:
            for batch in batches:
                jobs.add(batch, hash_faults, batch, limit)
                while jobs.is_due():
                    yield jobs.take()
        except CarError:
            while jobs:
                yield jobs.take()
            raise
        while jobs:
            yield jobs.take()


def _faults(batch: Batch) -> Iterator[Finding]:
    """Blocks with CIDs of the profile are checked together, any others one by one."""
    buffer, base, sections = batch
    if isinstance(sections, SectionRun):
        for index in mismatches_of_run(buffer, sections.columns):
            yield _mismatch(sections[index])
        return
    usual = [section for section in sections if is_profile_cid(section.cid)]
    wrong = mismatches(
        buffer,
        [section.cid for section in usual],
        [section.data_offset - base for section in usual],
        [section.length for section in usual],
    )
    for index in wrong:
        yield _mismatch(usual[index])
    if len(usual) == len(sections):
        return
    for section in sections:
        if not is_profile_cid(section.cid):
            reason = f"{cid_text(section.cid)} isn't a CIDv1 of raw or dag-pb under sha2-256"
            yield Finding(Code.CID, section.offset, reason[:MAX_MESSAGE])
            if hash_matches(parse_cid(section.cid), batch.data(section)) is False:
                yield _mismatch(section)


def _mismatch(section: Section) -> Finding:
    reason = f"{cid_text(section.cid)}: the block of {section.length} bytes has another hash"
    return Finding(Code.HASH_MISMATCH, section.offset, reason[:MAX_MESSAGE])
