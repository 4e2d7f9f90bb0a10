"""How CARs are built, as one value that is handed along."""

from dataclasses import dataclass

UNIT = 127 << 17
"""Bytes of a unit, 15.9 MiB: a whole commitment subtree, whole pages, and leaves for 16 hash lanes."""

THREADS = 4
"""Threads of a fill: on two cores about two compute while two wait for disks. Memory: 240 MiB."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a CAR is built. Its bytes don't depend on it.

    Attributes:
        threads: that read and hash at once.
        unit: bytes that are assembled and committed together, 127 * 2**k.
        sha256: whether to hash the CAR's bytes too: it reads the whole CAR back, and takes half as much CPU again.
    """

    threads: int = THREADS
    unit: int = UNIT
    sha256: bool = False


DEFAULT_OPTIONS = BuildOptions()
