"""Data keys: what files and names are encrypted with, and how they are kept, wrapped by the key of an alias.

A project has data keys of two uses: `files`, of which it may have several versions, and `names`, which stays the
same for the project's whole life. Each is random, and kept wrapped: in the catalog, and in manifests, so that a
manifest and the alias's key suffice to restore. When an alias's key is rotated, data keys are wrapped anew and no CAR
changes.

They are wrapped by AES key wrap (RFC 3394, NIST SP 800-38F, 256-bit key). Why this and not AES-GCM or age:

- it needs no nonce, so nothing can be used twice by mistake, on however many machines;
- it is authenticated: a wrong key or a changed byte is refused, at 8 bytes more than the key;
- it is what key management services and `openssl` (`id-aes256-wrap`) know, so a data key can be unwrapped without us;
- age makes a random file for each recipient, larger than the key by a factor of ten, and needs one more dependency.

Key wrap has no associated data. So that a wrapped key can't be passed off as that of another project, use or version,
16 bytes that are a digest of these three are wrapped behind the key, and compared after unwrapping.
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

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.key import is_alias
from ptolemy_core.keys.providers import KeyProvider, find_key, newest_key
from ptolemy_core.keys.secret import Secret, random_secret

Use = Literal["files", "names"]
"""What a data key encrypts: the contents of files, or names and targets of links."""

SIZES: dict[str, int] = {"files": 32, "names": 64}
"""Bytes of a data key by its use: AES-256 for files, two AES-256 keys (AES-SIV) for names."""

FORMAT = "ptolemy-wrapped-key/1"
_DIGEST = 16
_ID = re.compile(r"[0-9a-f]{16}\Z")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is kept: it holds nothing secret, and is of no use without the key that wrapped it.

    Attributes:
        project: that the data key belongs to.
        use: what it encrypts.
        version: of the data key, from 1; always 1 for names.
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
        EncryptionError: as the provider does.
    """
    return _wrap(provider, alias, random_secret(SIZES[use]), (project, use, version))


def unwrap(provider: KeyProvider, wrapped: WrappedKey) -> Secret:
    """The data key's bytes.

    Raises:
        UnknownKeyError: the key that wrapped it isn't there.
        WrongKeyError: there is another key of that alias and version.
        DamagedError: the wrapped key was changed, or belongs to another project, use or version.
        EncryptionError: as the provider does.
    """
    _, wrapping = find_key(provider, wrapped.alias, wrapped.alias_version, wrapped.key_id)
    try:
        inner = aes_key_unwrap(wrapping.reveal(), wrapped.wrapped)
    except InvalidUnwrap:
        raise DamagedError(
            f"{wrapped} is damaged: key {wrapped.alias} is the right one, but doesn't unwrap it; take it from "
            "another manifest or a copy of the catalog"
        ) from None
    value, digest = inner[:-_DIGEST], inner[-_DIGEST:]
    if len(value) != SIZES[wrapped.use] or not hmac.compare_digest(
        digest, _digest(wrapped.project, wrapped.use, wrapped.version)
    ):
        raise DamagedError(
            f"{wrapped} isn't what its record says: it was wrapped for another project, use or version; take it "
            "from another manifest or a copy of the catalog"
        )
    return Secret(value)


def rewrap(provider: KeyProvider, wrapped: WrappedKey, alias: str | None = None) -> WrappedKey:
    """The same data key, wrapped by the newest version of its alias's key, or of another alias's.

    It stays as it is where that is so already.

    Raises:
        EncryptionError: as `unwrap` and `new_data_key` do.
    """
    chosen = alias or wrapped.alias
    newest, _ = newest_key(provider, chosen)
    data_key = unwrap(provider, wrapped)
    if (chosen, newest.version, newest.id) == (wrapped.alias, wrapped.alias_version, wrapped.key_id):
        return wrapped
    return _wrap(provider, chosen, data_key, (wrapped.project, wrapped.use, wrapped.version))


def unreadable_without(
    kept: Iterable[WrappedKey], alias: str, version: int | None = None
) -> list[WrappedKey]:
    """Which data keys nobody can unwrap any more once a version of an alias's key is destroyed, or all of them."""
    return [one for one in kept if one.alias == alias and version in (None, one.alias_version)]


def as_record(wrapped: WrappedKey) -> dict[str, object]:
    """A wrapped key as a value for JSON, with its format."""
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
    """The wrapped key that `as_record` made into a value.

    Args:
        value: the value, as JSON gave it.
        place: where it is from, for messages.

    Raises:
        DamagedError: it isn't such a value.
    """
    try:
        if value["format"] != FORMAT:
            raise DamagedError(
                f"{place} has a wrapped key of a format that this version doesn't know, it must be {FORMAT}: upgrade "
                "Ptolemy"
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
            f"{place} has a wrapped key that is damaged: take it from another manifest or a copy of the catalog"
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
    """The wrapped key of such a line.

    Raises:
        DamagedError: it isn't one.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return from_record(value, place)


def _wrap(provider: KeyProvider, alias: str, data_key: Secret, what: tuple[str, Use, int]) -> WrappedKey:
    project, use, version = what
    key, wrapping = newest_key(provider, alias)
    wrapped = aes_key_wrap(wrapping.reveal(), data_key.reveal() + _digest(project, use, version))
    return WrappedKey(project, use, version, alias, key.version, key.id, wrapped)


def _digest(project: str, use: str, version: int) -> bytes:
    text = f"{FORMAT}\0{project}\0{use}\0{version}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]
