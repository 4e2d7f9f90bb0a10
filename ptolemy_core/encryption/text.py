"""Encrypted names as text: base32hex (RFC 4648) in lower case, without padding."""

import base64
import binascii

_TAG = 16
"""Bytes that a name has at least once encrypted."""


def encode(data: bytes) -> bytes:
    """The text of an encrypted name."""
    return base64.b32hexencode(data).rstrip(b"=").lower()


def decode(text: bytes) -> bytes:
    """The reverse of `encode`.

    Raises:
        ValueError: `encode` never returns that text.
    """
    try:
        data = base64.b32hexdecode(text.upper() + b"=" * (-len(text) % 8))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if len(data) < _TAG or encode(data) != text:
        raise ValueError("not base32hex of an encrypted name")
    return data


def looks_encrypted(name: bytes) -> bool:
    """Whether a name may be an encrypted one; without the key nobody can tell for sure."""
    try:
        decode(name)
    except ValueError:
        return False
    return True
