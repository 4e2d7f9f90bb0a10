"""Data keys, which encrypt files and names, and how they are stored: wrapped by an alias's key.

A project has data keys for two uses: `files`, in one or more versions, and `names`, which never changes. Each is
random, and stored only in wrapped form: in the catalog, and in manifests, so that a manifest and the alias's key are
enough to restore. When an alias's key is rotated, the data keys are wrapped again and no CAR changes.

They are wrapped with AES key wrap (RFC 3394, NIST SP 800-38F, 256-bit key). Why this and not AES-GCM or age:

- it needs no nonce, so a nonce can't be reused by mistake, on any number of machines;
- it is authenticated: a wrong key or a changed byte is refused, at a cost of 8 bytes;
- key management services and `openssl` (`id-aes256-wrap`) support it, so a data key can be unwrapped without Ptolemy;
- age writes a random file per recipient, ten times larger than the key, and is one more dependency.

Key wrap has no associated data. So a 16-byte digest of project, use and version is wrapped after the key and compared
after unwrapping: a wrapped key can't be substituted for that of another project, use or version.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.key import is_alias
from ptolemy_core.keys.providers import KeyProvider, find_key, newest_key
from ptolemy_core.keys.secret import Secret, random_secret

Use = Literal["files", "names"]
"""What a data key encrypts: contents of files, or names and link targets."""

SIZES: dict[str, int] = {"files": 32, "names": 64}
"""Bytes of a data key by its use: AES-256 for files, two AES-256 keys (AES-SIV) for names."""

FORMAT = "ptolemy-wrapped-key/1"
_DIGEST = 16
_ID = re.compile(r"[0-9a-f]{16}\Z")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored: not secret, and useless without the key that wrapped it.

    Attributes:
        project: the data key's project.
        use: what it encrypts.
        version: version of the data key, from 1; always 1 for names.
        alias, alias_version: the key that wrapped it.
        key_id: the ID of that key.
        wrapped: the wrapped bytes.
    """

    project: str
    use: Use
    version: int
    alias: str
    alias_version: int
    key_id: str
    wrapped: bytes

    def __str__(self) -> str:
        return f"the data key of project {self.project} for {self.use}, version {self.version}"


def new_data_key(provider: KeyProvider, alias: str, project: str, use: Use, version: int = 1) -> WrappedKey:
    """A new random data key, wrapped by the newest version of an alias's key.

    Raises:
        UnknownKeyError: there is no such key.
        EncryptionError: raised by the provider.
    """
    return _wrap(provider, alias, random_secret(SIZES[use]), (project, use, version))


def unwrap(provider: KeyProvider, wrapped: WrappedKey) -> Secret:
    """The data key's bytes.

    Raises:
        UnknownKeyError: the key that wrapped it is missing.
        WrongKeyError: the key of that alias and version is another one.
        DamagedError: the wrapped key was changed, or belongs to another project, use or version.
        EncryptionError: raised by the provider.
    """
    from cryptography.hazmat.primitives.keywrap import (
        InvalidUnwrap,
        aes_key_unwrap,
    )  # it takes a while to load

    _, wrapping = find_key(provider, wrapped.alias, wrapped.alias_version, wrapped.key_id)
    try:
        inner = aes_key_unwrap(wrapping.reveal(), wrapped.wrapped)
    except InvalidUnwrap:
        raise DamagedError(
            f"{wrapped} is damaged: key {wrapped.alias} is the right one, but doesn't unwrap it; get it from "
            "another manifest or a copy of the catalog"
        ) from None
    value, digest = inner[:-_DIGEST], inner[-_DIGEST:]
    if len(value) != SIZES[wrapped.use] or not hmac.compare_digest(
        digest, _digest(wrapped.project, wrapped.use, wrapped.version)
    ):
        raise DamagedError(
            f"{wrapped} doesn't match its record: it was wrapped for another project, use or version; get it "
            "from another manifest or a copy of the catalog"
        )
    return Secret(value)


def rewrap(provider: KeyProvider, wrapped: WrappedKey, alias: str | None = None) -> WrappedKey:
    """The same data key, wrapped by the newest version of its alias's key, or of another alias's key.

    Returned unchanged if that key already wraps it.

    Raises:
        EncryptionError: see `unwrap` and `new_data_key`.
    """
    chosen = alias or wrapped.alias
    newest, _ = newest_key(provider, chosen)
    data_key = unwrap(provider, wrapped)
    if (chosen, newest.version, newest.id) == (wrapped.alias, wrapped.alias_version, wrapped.key_id):
        return wrapped
    return _wrap(provider, chosen, data_key, (wrapped.project, wrapped.use, wrapped.version))


def rebind(provider: KeyProvider, wrapped: WrappedKey, project: str) -> WrappedKey:
    """The same data key, for the project's new name; wrapped by the newest version of its alias's key.

    Raises:
        EncryptionError: see `unwrap` and `new_data_key`.
    """
    return _wrap(provider, wrapped.alias, unwrap(provider, wrapped), (project, wrapped.use, wrapped.version))


def unreadable_without(
    kept: Iterable[WrappedKey], alias: str, version: int | None = None
) -> list[WrappedKey]:
    """The data keys that can't be unwrapped after a version of an alias's key, or all versions, are destroyed."""
    return [one for one in kept if one.alias == alias and version in (None, one.alias_version)]


def as_record(wrapped: WrappedKey) -> dict[str, object]:
    """A wrapped key as a JSON value, with its format."""
    return {
        "format": FORMAT,
        "project": wrapped.project,
        "use": wrapped.use,
        "version": wrapped.version,
        "alias": wrapped.alias,
        "alias_version": wrapped.alias_version,
        "key_id": wrapped.key_id,
        "wrapped": base64.b64encode(wrapped.wrapped).decode("ascii"),
    }


def from_record(value: Any, place: str) -> WrappedKey:
    """The wrapped key of a JSON value made by `as_record`.

    Args:
        value: the parsed JSON value.
        place: where it comes from, for messages.

    Raises:
        DamagedError: it isn't a valid record.
    """
    try:
        if value["format"] != FORMAT:
            raise DamagedError(
                f"{place} has a wrapped key in a format that this version doesn't support, it must be {FORMAT}: "
                "upgrade Ptolemy"
            )
        if set(value) != set(_FIELDS):
            raise ValueError
        if any(type(value[name]) is not kind for name, kind in _FIELDS.items()):
            raise ValueError
        if value["use"] not in SIZES or min(value["version"], value["alias_version"]) < 1:
            raise ValueError
        if not is_alias(value["alias"]) or not _ID.match(value["key_id"]):
            raise ValueError
        wrapped = base64.b64decode(value["wrapped"], validate=True)
        if base64.b64encode(wrapped).decode() != value["wrapped"]:
            raise ValueError
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise DamagedError(
            f"{place} has a wrapped key that is damaged: get it from another manifest or a copy of the catalog"
        ) from None
    fields = {name: value[name] for name in _FIELDS if name not in ("format", "wrapped")}
    return WrappedKey(**fields, wrapped=wrapped)


_FIELDS: dict[str, type] = {
    "format": str,
    "project": str,
    "use": str,
    "version": int,
    "alias": str,
    "alias_version": int,
    "key_id": str,
    "wrapped": str,
}


def to_text(wrapped: WrappedKey) -> str:
    """A wrapped key as one line of JSON."""
    return json.dumps(as_record(wrapped), separators=(",", ":"))


def from_text(text: str, place: str) -> WrappedKey:
    """The wrapped key of a line made by `to_text`.

    Raises:
        DamagedError: it isn't a valid one.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return from_record(value, place)


def _wrap(provider: KeyProvider, alias: str, data_key: Secret, what: tuple[str, Use, int]) -> WrappedKey:
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    project, use, version = what
    key, wrapping = newest_key(provider, alias)
    wrapped = aes_key_wrap(wrapping.reveal(), data_key.reveal() + _digest(project, use, version))
    return WrappedKey(project, use, version, alias, key.version, key.id, wrapped)


def _digest(project: str, use: str, version: int) -> bytes:
    text = f"{FORMAT}\0{project}\0{use}\0{version}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]
