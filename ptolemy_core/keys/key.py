"""A key that wraps other keys: its alias, its version, and its text form for backups, vaults and variables.

The text of a key is one line, `ptolemy-key-1:ALIAS:VERSION:KEY:ID`: the 32 bytes of the key in lower-case base32
without padding, and the key's ID, which detects typing errors.
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
    """One version of an alias's key: a key-encryption key, which wraps data keys.

    Attributes:
        alias: its name.
        version: from 1; a number is never reused.
        secret: its bytes; None if it was destroyed.
        created, destroyed: UTC times like 2026-11-26T18:40:59Z; empty if unknown.
        destroyed_id: of a destroyed key, the ID that it had; empty if unknown.
    """

    alias: str
    version: int
    secret: Secret | None
    created: str = ""
    destroyed: str = ""
    destroyed_id: str = ""

    @property
    def id(self) -> str:
        """The key's ID, which distinguishes it from others; empty if it was destroyed."""
        return secret_id(self.secret) if self.secret else ""


def is_alias(alias: str) -> bool:
    """Whether a text is a valid alias. "None" isn't: it is the setting of a project without encryption."""
    return bool(_ALIAS.match(alias)) and alias.lower() != "none"


def check_alias(alias: str) -> str:
    """The alias, if it is valid.

    Raises:
        SettingsError: it isn't.
    """
    if not is_alias(alias):
        raise SettingsError(
            f"a key's alias must be 1 to 63 letters, digits, - or _, start with a letter or digit, and not be "
            f'"None", got {alias[:80]!r}; use another name'
        )
    return alias


def to_text(key: Key) -> str:
    """A key as one line of text. Anyone who has it can read everything that the key protects.

    Raises:
        ValueError: the key was destroyed.
    """
    if key.secret is None:
        raise ValueError(f"version {key.version} of {key.alias} was destroyed")
    encoded = base64.b32encode(key.secret.reveal()).decode("ascii").rstrip("=").lower()
    return f"{MARK}:{key.alias}:{key.version}:{encoded}:{key.id}"


def parse_keys(text: str, place: str) -> list[Key]:
    """The keys in a text, one per line; empty lines and lines that start with `#` are ignored.

    Args:
        text: keys as written by `to_text`, separated by spaces or line breaks.
        place: where the text comes from, for messages.

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
            f"line {number} of {place} is not a key: a key looks like {MARK}:ALIAS:VERSION:KEY:ID, as printed by "
            "`ptolemy keys export`"
        )
    _, alias, version, encoded, expected = parts
    if not is_alias(alias) or not _VERSION.match(version):
        raise DamagedError(f"line {number} of {place} has an invalid alias or version; use a backup of it")
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
