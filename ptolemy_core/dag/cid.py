"""Binary and text forms of the 36-byte CIDs of the profile: CIDv1, sha2-256, raw or dag-pb.

Specification: https://github.com/multiformats/cid. The engine carries CIDs as bytes; text is for people.
"""

import base64
from contextlib import suppress

RAW = 0x55
DAG_PB = 0x70

_PREFIX = {RAW: bytes.fromhex("01551220"), DAG_PB: bytes.fromhex("01701220")}
RAW_PREFIX = _PREFIX[RAW]
DAG_PB_PREFIX = _PREFIX[DAG_PB]
SIZE = 36
"""Bytes of a CID in this profile."""


def of_digest(codec: int, digest: bytes) -> bytes:
    """The binary CIDv1 of a sha2-256 digest under `codec` (RAW or DAG_PB)."""
    return _PREFIX[codec] + digest


def to_text(binary: bytes) -> str:
    """Any binary CIDv1 in its usual text form: multibase base32, lower case, no padding."""
    return "b" + base64.b32encode(binary).decode("ascii").lower().rstrip("=")


def from_text(text: str) -> bytes:
    """The binary form of a CIDv1 in any multibase (people paste base58 and hex too).

    Raises:
        ValueError: it isn't a CIDv1.
    """
    if text.startswith("b") and len(text) > 1:
        body = text[1:].upper()
        if text == text.lower():
            with suppress(ValueError):
                return base64.b32decode(body + "=" * (-len(body) % 8))
    else:
        from multiformats import CID  # its tables take a while to load

        with suppress(ValueError, LookupError):
            return bytes(CID.decode(text))
    raise ValueError(f"not a CID: {text!r}; a CIDv1 looks like bafy…, bafk…, baga… or bafkz…")
