"""A key that protects other keys: its alias, its version, and its text for backups, vaults and variables.

The text of a key is one line, `ptolemy-key-1:ALIAS:VERSION:KEY:ID`: the 32 bytes of the key in base32 without
padding, in lower case, and the key's ID, which shows a slip of the pen.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ptolemy_core.errors import DamagedError, SettingsError
from ptolemy_core.keys.secret import Secret, secret_id

KEY_BYTES = 32
"""Bytes of a key: AES-256."""

MARK = "ptolemy-key-1"
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """One version of the key behind an alias: a key-encryption key, which wraps data keys.

    Attributes:
        alias: its name.
        version: from 1 up; a number is never used again.
        secret: its bytes; None: it was destroyed.
        created, destroyed: when, in UTC as 2026-11-26T18:40:59Z; empty where that isn't known.
    """

    alias: str
    version: int
    secret: Secret | None
    created: str = ""
    destroyed: str = ""

    @property
    def id(self) -> str:
        """The key's ID, which tells it from others; empty once it is destroyed."""
        return secret_id(self.secret) if self.secret else ""


def is_alias(alias: str) -> bool:
    """Whether a text can be an alias. "None" is what a project without encryption has in its place."""
    return bool(_ALIAS.match(alias)) and alias.lower() != "none"


def check_alias(alias: str) -> str:
    """The alias, if it can be one.

    Raises:
        SettingsError: it can't.
    """
    if not is_alias(alias):
        raise SettingsError(
            f"a key's alias must be 1 to 63 letters, digits, - or _, starting with a letter or digit, and not "
            f'"None", got {alias[:80]!r}; use such a name'
        )
    return alias


def to_text(key: Key) -> str:
    """A key as one line of text. Whoever reads it can read everything that the key protects.

    Raises:
        ValueError: the key was destroyed.
    """
    if key.secret is None:
        raise ValueError(f"version {key.version} of {key.alias} was destroyed")
    encoded = base64.b32encode(key.secret.reveal()).decode("ascii").rstrip("=").lower()
    return f"{MARK}:{key.alias}:{key.version}:{encoded}:{key.id}"


def parse_keys(text: str, place: str) -> list[Key]:
    """The keys in a text, one a line; empty lines and those that start with `#` don't count.

    Args:
        text: lines as `to_text` makes them, with blanks or line breaks between them.
        place: where the text is from, for messages.

    Raises:
        DamagedError: a line isn't the text of a key. The message doesn't quote it.
    """
    lines = [line.strip() for line in text.splitlines()]
    keys = [
        _parse(word, number, place)
        for number, line in enumerate(lines, 1)
        if not line.startswith("#")
        for word in line.split()
    ]
    _check_unique(keys, place)
    return keys


def by_version(keys: Iterable[Key], alias: str) -> list[Key]:
    """The keys of an alias, the oldest version first."""
    return sorted((key for key in keys if key.alias == alias), key=lambda key: key.version)


def _parse(word: str, number: int, place: str) -> Key:
    parts = word.split(":")
    if len(parts) != 5 or parts[0] != MARK:
        raise DamagedError(
            f"line {number} of {place} is no key: one looks like {MARK}:ALIAS:VERSION:KEY:ID, as `ptolemy keys "
            "export` prints it"
        )
    _, alias, version, encoded, expected = parts
    if not is_alias(alias) or not _VERSION.match(version):
        raise DamagedError(f"line {number} of {place} has no valid alias or version; use a backup of it")
    try:
        value = base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        value = b""
    secret = Secret(value)
    if len(value) != KEY_BYTES or secret_id(secret) != expected:
        raise DamagedError(
            f"the key on line {number} of {place} (alias {alias}, version {version}) is damaged: it doesn't match "
            "its own ID; use a backup of it"
        )
    return Key(alias, int(version), secret)


def _check_unique(keys: list[Key], place: str) -> None:
    seen: dict[tuple[str, int], Key] = {}
    for key in keys:
        other = seen.setdefault((key.alias, key.version), key)
        if other.secret != key.secret:
            raise DamagedError(
                f"{place} has two different keys for version {key.version} of {key.alias}; keep the right one"
            )
