"""Where data comes from: entries with their stamps, and byte ranges of files.

`protocol` says what a source is; `posix` is a local folder. Everything else knows the protocol only.
"""

from ptolemy_core.source.inputs import Inputs
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.protocol import Entry, Source, State
from ptolemy_core.source.stamps import Stamp, Stamps

__all__ = ["Entry", "Inputs", "Source", "Stamp", "Stamps", "State", "open_source"]


def open_source(place: bytes) -> Source:
    """The source at a place, as a project's target_dir names it: a local path."""
    return PosixSource(place)
