"""Build options, as one value that is passed along."""

from dataclasses import dataclass

from ptolemy_core.layout import Block, Layout

UNIT = 127 << 17
"""Bytes of a unit, 15.9 MiB: a complete commitment subtree, whole pages, and enough leaves for 16 hash lanes."""

SMALL_UNIT = 127 << 16
"""Bytes of a unit of a CAR of small files, 7.9 MiB: more of it is in the CPU's cache when it is hashed."""

_SMALL_LEAF = 64 << 10
"""The largest leaf, in bytes, of such a CAR. A leaf across a unit's end is read twice: small leaves cost little."""

THREADS = 4
"""Threads of a fill: on two cores, about two compute while two wait for disks. Memory: 270 MiB."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a CAR is built. The CAR's bytes don't depend on these options.

    Attributes:
        threads: threads that read and hash.
        unit: bytes that are assembled and committed together, 127 * 2**k; None: what suits the CAR's files.
        sha256: whether to hash the CAR's bytes too, which reads the whole CAR back and takes 50 % more CPU time.
    """

    threads: int = THREADS
    unit: int | None = None
    sha256: bool = False

    def unit_of(self, layout: Layout) -> int:
        """Bytes of a unit of the CAR of a layout."""
        if self.unit is not None:
            return self.unit
        largest = layout.size[layout.kind == Block.LEAF].max(initial=0)
        return SMALL_UNIT if largest <= _SMALL_LEAF else UNIT


DEFAULT_OPTIONS = BuildOptions()
