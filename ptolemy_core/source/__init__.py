"""Where data comes from: entries with their stamps, and byte ranges of files.

`protocol` defines what a source is; `posix` implements it for a local folder, `safe_delete` deletes there, and
`encrypted` encrypts files as they are read. Other folders of the engine use the protocol only. Which entries belong
to a project is `rules`; what becomes of the bytes is `car`.
"""

from ptolemy_core.source.inputs import Inputs
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.protocol import Entry, Files, Source, State
from ptolemy_core.source.stamps import Stamp, Stamps

__all__ = ["Entry", "Files", "Inputs", "Source", "Stamp", "Stamps", "State", "open_source"]


def open_source(place: bytes) -> Source:
    """The source for a project's target_dir: a local path."""
    return PosixSource(place)
