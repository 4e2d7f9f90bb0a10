"""Compares the entries of a CAR with an expected listing, streaming both, and reports each difference.

Both are in the CAR's depth-first order (https://specs.ipfs.tech/http-gateways/trustless-gateway/); missing or extra
entries in one of them don't derail the comparison.
"""

from collections.abc import Iterable, Iterator

from ptolemy_core.reader.entry import CarEntry, ExpectedEntry, FileRun
from ptolemy_core.reader.findings import Code, Findings
from ptolemy_core.reader.hashes import cid_text

MAX_UNMATCHED = 10_000
"""Entries that wait for their counterpart, at most; with more, the listings describe different trees."""


class ListingCheck:
    """Compares each entry passed to `entry`; call `finish` at the end. Differences become findings.

    Args:
        expected: the listing, consumed while entries are compared.
        findings: receives the differences.
    """

    def __init__(self, expected: Iterable[ExpectedEntry], findings: Findings) -> None:
        self._expected: Iterator[ExpectedEntry] = iter(expected)
        self._findings = findings
        self._awaited: dict[bytes, ExpectedEntry] = {}
        self._surplus: dict[bytes, CarEntry] = {}
        self._stopped = False

    def entry(self, found: CarEntry) -> None:
        """Compare the next entry of the CAR."""
        if self._stopped:
            return
        expected = next(self._expected, None)
        if expected is not None and expected.path == found.path:
            self._compare(expected, found)
            return
        if expected is not None:
            self._await(expected)
        awaited = self._awaited.pop(found.path, None)
        if awaited is not None:
            self._compare(awaited, found)
        elif found.path in self._surplus:
            self._add(Code.ENTRY_EXTRA, found.offset, found.path, "is in the CAR twice")
        else:
            self._surplus[found.path] = found
        if len(self._awaited) + len(self._surplus) > MAX_UNMATCHED:
            self._stopped = True
            reason = f"differs from the listing, like {MAX_UNMATCHED} other entries"
            self._add(Code.ENTRY_EXTRA, found.offset, found.path, reason)

    def files(self, files: FileRun) -> None:
        """Compare the next files of the CAR."""
        for found in files:
            self.entry(found)

    def finish(self, end: int) -> None:
        """Report the unmatched entries of both sides; `end` is the CAR's size in bytes."""
        if self._stopped:
            return
        for expected in self._expected:
            self._await(expected)
            if self._findings.full or len(self._awaited) > MAX_UNMATCHED:
                break
        for found in self._surplus.values():
            self._add(Code.ENTRY_EXTRA, found.offset, found.path, f"a {found.kind}, isn't in the listing")
        for awaited in self._awaited.values():
            self._add(Code.ENTRY_MISSING, end, awaited.path, f"a {awaited.kind}, isn't in the CAR")

    def _await(self, expected: ExpectedEntry) -> None:
        found = self._surplus.pop(expected.path, None)
        if found is not None:
            self._compare(expected, found)
        elif expected.path in self._awaited:
            self._add(Code.ENTRY_MISSING, 0, expected.path, "is in the listing twice")
        else:
            self._awaited[expected.path] = expected

    def _compare(self, want: ExpectedEntry, got: CarEntry) -> None:
        if want.kind != got.kind:
            self._add(Code.ENTRY_MISMATCH, got.offset, got.path, f"is a {got.kind}, expected a {want.kind}")
            return
        if want.size is not None and want.size != got.size:
            self._add(
                Code.ENTRY_MISMATCH, got.offset, got.path, f"has {got.size} bytes, expected {want.size}"
            )
        if want.cid is not None and want.cid != got.cid:
            reason = f"is {cid_text(got.cid)}, expected {cid_text(want.cid)}"
            self._add(Code.ENTRY_MISMATCH, got.offset, got.path, reason)
        if want.target is not None and want.target != got.target:
            reason = f"has the target {got.target!r}, expected {want.target!r}"
            self._add(Code.ENTRY_MISMATCH, got.offset, got.path, reason)

    def _add(self, code: Code, offset: int, path: bytes, reason: str) -> None:
        self._findings.add(code, offset, f"{path!r}: {reason}")
