"""URLs of data that isn't on a local disk: which there are, and their one spelling."""

import os
from dataclasses import dataclass

from ptolemy_core.errors import SettingsError

SCHEMES = ("s3", "gs", "az", "https", "http", "sftp")
"""Schemes of sources; az is an Azure container, https a list of URLs."""

WRITABLE = ("s3", "gs", "az")
"""Schemes of stores that CARs can be staged in."""

_PLACE = {"s3": "bucket", "gs": "bucket", "az": "container", "https": "host", "http": "host", "sftp": "host"}


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL.

    Attributes:
        scheme: one of SCHEMES.
        place: bucket, container, or host with port and perhaps a user's name.
        path: what follows, without slashes at its ends; empty: all of it.
    """

    scheme: str
    place: str
    path: str

    @property
    def prefix(self) -> str:
        """What all keys below the URL begin with."""
        return self.path + "/" if self.path else ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}" + (f"/{self.path}" if self.path else "")


def is_url(text: str) -> bool:
    """Whether a setting names a URL and not a folder."""
    return "://" in text


def absolute(text: str) -> str:
    """The absolute path of a folder that a user typed; a URL as it is."""
    return text if is_url(text) else os.path.abspath(text)


def parse(text: str) -> Location:
    """The location that a URL names.

    Raises:
        SettingsError: it can't be one. The message never repeats what may be a password or a token.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise SettingsError(
            f"{scheme!r} isn't a kind of URL that Ptolemy reads: use one of {known}, or a folder"
        )
    place, _, path = rest.partition("/")
    if "@" in place and (scheme != "sftp" or ":" in place.rpartition("@")[0]):
        raise SettingsError(
            f"a {scheme}:// URL must not hold credentials: they belong in the environment or a profile "
            "(docs/sources.md)"
        )
    if "?" in rest or (scheme in ("http", "https") and "#" in rest):
        raise SettingsError(f"a {scheme}:// URL must not have a query, which may hold a token: leave it out")
    if not place or any(c.isspace() or not c.isprintable() or c in "?#" for c in place):
        raise SettingsError(
            f"a {scheme}:// URL needs a {_PLACE[scheme]}: {scheme}://{_PLACE[scheme].upper()}/PATH"
        )
    path = path.strip("/")
    bad = next((name for name in path.split("/") if path and name in ("", ".", "..")), None)
    if bad is not None or not path.isprintable():
        raise SettingsError(
            f"the path of that URL in {scheme}://{place} has an empty name, one of dots alone or an unprintable "
            "character: use a prefix without these"
        )
    if scheme in ("http", "https") and not path:
        raise SettingsError(f"a {scheme}:// URL names a list of URLs: {scheme}://{place}/LIST.csv")
    return Location(scheme, place, path)
