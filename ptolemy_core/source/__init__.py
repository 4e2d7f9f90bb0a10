"""Where data comes from: entries with their stamps, and byte ranges of files.

`protocol` defines what a source is; `posix` implements it for a local folder, and `safe_delete` deletes there;
`remote` opens URLs, and `objects` implements object stores; `encrypted` encrypts files as they are read. Other
folders of the engine use the protocol only. Which entries belong to a project is `rules`; what is done with the
bytes is `car`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptolemy_core import urls
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.inputs import Inputs
from ptolemy_core.source.listed import Listed, listed
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.protocol import Entry, Files, FolderSeen, ListsColumns, Source, State, Target
from ptolemy_core.source.stamps import Stamp, Stamps
from ptolemy_core.source.walk import OwnFolders

if TYPE_CHECKING:  # what only builds has no need of settings and their checks
    from ptolemy_core.project import Project

__all__ = [
    "Entry",
    "Files",
    "Inputs",
    "Source",
    "Stamp",
    "Stamps",
    "State",
    "Target",
    "columns",
    "open_source",
    "open_target",
]


def open_source(place: bytes, profile: str | None = None, own: OwnFolders | None = None) -> Target:
    """The source for a target_dir.

    Args:
        place: a local path, or a URL.
        profile: of the credentials for a URL; None: the environment's.
        own: folders of a local path that `entries` leaves out, as Ptolemy's own.

    Raises:
        SettingsError: the URL can't be opened here.
    """
    text = place.decode("utf-8", "surrogateescape")
    if not place.startswith(b"/") and urls.is_url(text):
        from ptolemy_core.source.remote import open_remote

        return open_remote(urls.parse(text), profile)
    return PosixSource(place, own or {})


def columns(
    source: Source, rules: Rules | None = None, *, folder: FolderSeen | None = None
) -> Iterator[Listed]:
    """The entries of a source as columns, in batches; see `Source.entries`."""
    if isinstance(source, ListsColumns):
        return source.listed(rules, folder=folder)
    return map(listed, source.entries(rules, folder=folder))


def open_target(project: "Project", own: OwnFolders | None = None) -> Target:
    """The source for a project's target_dir; see `open_source`."""
    return open_source(project.target_bytes, project.source_profile, own)
