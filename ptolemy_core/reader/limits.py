"""Limits of reading a CAR, as one value: a hostile CAR must not use up memory or fill a report."""

from dataclasses import dataclass

from ptolemy_core.reader.car import MAX_SECTION
from ptolemy_core.reader.threads import HashThreads

MAX_FINDINGS = 100
"""Default limit of findings."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a verification or inspection.

    Attributes:
        findings: number of findings after which no further ones are collected.
        section: bytes of a section (CID and data).
        threads: that hash, shared with what else is read at the same time; None: one for each core.
    """

    findings: int = MAX_FINDINGS
    section: int = MAX_SECTION
    threads: HashThreads | None = None


DEFAULT_LIMITS = Limits()
