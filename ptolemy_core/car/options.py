"""Build options, as one value that is passed along."""

from dataclasses import dataclass

UNIT = 127 << 17
"""Bytes of a unit, 15.9 MiB: a complete commitment subtree, whole pages, and enough leaves for 16 hash lanes."""

THREADS = 4
"""Threads of a fill: on two cores, about two compute while two wait for disks. Memory: 240 MiB."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a CAR is built. The CAR's bytes don't depend on these options.

    Attributes:
        threads: threads that read and hash.
        unit: bytes that are assembled and committed together, 127 * 2**k.
        sha256: whether to hash the CAR's bytes too, which reads the whole CAR back and takes 50 % more CPU time.
    """

    threads: int = THREADS
    unit: int = UNIT
    sha256: bool = False


DEFAULT_OPTIONS = BuildOptions()
