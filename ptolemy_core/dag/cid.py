"""Binary and text forms of the 36-byte CIDs of the profile: CIDv1, sha2-256, raw or dag-pb.

Specification: https://github.com/multiformats/cid. The engine carries CIDs as bytes; text is for people.
"""

import base64
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

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


def to_texts(binaries: Sequence[bytes]) -> list[str]:
    """`to_text` of many CIDs of the profile."""
    count = len(binaries)
    padded = np.zeros((count, _GROUPS * 5), dtype=np.uint8)
    padded[:, :SIZE] = np.frombuffer(b"".join(binaries), dtype=np.uint8).reshape(count, SIZE)
    groups = padded.reshape(count, _GROUPS, 5).astype(np.uint64)
    numbers = groups[:, :, 0]
    for byte in range(1, 5):
        numbers = numbers << np.uint64(8) | groups[:, :, byte]
    letters = np.full((count, 1 + _GROUPS * 8), ord("b"), dtype=np.uint8)
    shifts = np.arange(35, -1, -5, dtype=np.uint64)
    digits = numbers[:, :, np.newaxis] >> shifts & np.uint64(31)
    letters[:, 1:] = _ALPHABET[digits.reshape(count, 8 * _GROUPS).astype(np.uint8)]
    text = np.ascontiguousarray(letters[:, :_TEXT_SIZE]).tobytes().decode("ascii")
    return [text[at : at + _TEXT_SIZE] for at in range(0, len(text), _TEXT_SIZE)]


_GROUPS = 8
"""Groups of five bytes that hold a CID: each is eight letters."""
_TEXT_SIZE = 1 + -(-8 * SIZE // 5)
_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)


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
