"""Parsing CIDs (v0 and v1) and checking blocks against them.

Specification: https://github.com/multiformats/cid, https://github.com/multiformats/multicodec
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag import varint
from ptolemy_core.kernel import Buffer, sha256_ranges
from ptolemy_core.kernel.blocks import SectionColumns, gathered

SHA2_256 = 0x12
SHA2_512 = 0x13
BLAKE2B_256 = 0xB220
IDENTITY = 0x00

_V0 = b"\x12\x20"
_V0_SIZE = 34
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class ParsedCid(NamedTuple):
    """The parts of a binary CID; `end` is the offset after it."""

    version: int
    codec: int
    hash: int
    digest: bytes
    end: int


def parse_cid(data: bytes, offset: int = 0, end: int | None = None) -> ParsedCid:
    """Parse the binary CID at `offset`, which must end at or before `end`.

    Raises:
        ValueError: it isn't a well-formed CID.
    """
    stop = len(data) if end is None else end
    if data[offset : min(offset + 2, stop)] == _V0:
        if stop - offset < _V0_SIZE:
            raise ValueError("a CIDv0 is cut off")
        after = offset + _V0_SIZE
        return ParsedCid(0, profile_cid.DAG_PB, SHA2_256, data[offset + 2 : after], after)
    head = data[offset : min(offset + 36, stop)]
    version, at = varint.decode(head)
    if version != 1:
        raise ValueError(f"a CID of version {version}; 0 and 1 are supported")
    codec, at = varint.decode(head, at)
    code, at = varint.decode(head, at)
    size, at = varint.decode(head, at)
    if size > stop - offset - at:
        raise ValueError(f"a CID's digest of {size} bytes is cut off")
    after = offset + at + size
    return ParsedCid(1, codec, code, data[offset + at : after], after)


def cid_text(binary: bytes) -> str:
    """A binary CID as text: base58 for CIDv0, multibase base32 for CIDv1."""
    if not binary.startswith(_V0):
        return profile_cid.to_text(binary)
    number, text = int.from_bytes(binary, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text


def parse_text(text: str) -> bytes:
    """The binary form of a CID: base58 for CIDv0, any multibase for CIDv1.

    Raises:
        ValueError: it isn't a CID.
    """
    if len(text) == 46 and text.startswith("Qm") and not set(text) - set(_BASE58):
        number = 0
        for letter in text:
            number = number * 58 + _BASE58.index(letter)
        return number.to_bytes(_V0_SIZE, "big")
    return profile_cid.from_text(text)


def is_profile_cid(binary: bytes) -> bool:
    """Whether it is a CID of the profile: CIDv1, raw or dag-pb, sha2-256, 36 bytes."""
    return len(binary) == profile_cid.SIZE and binary[:4] in (
        profile_cid.RAW_PREFIX,
        profile_cid.DAG_PB_PREFIX,
    )


_DIGEST_SIZES = {SHA2_256: 32, SHA2_512: 64, BLAKE2B_256: 32}


def hash_supported(cid: ParsedCid) -> bool:
    """Whether blocks can be checked against this CID: a supported hash function, and a digest of full length."""
    return cid.hash == IDENTITY or _DIGEST_SIZES.get(cid.hash) == len(cid.digest)


def hash_fault(cid: ParsedCid) -> str:
    """Why `hash_matches` didn't return True for a block, as the end of a sentence."""
    if hash_supported(cid):
        return "has another hash"
    return (
        f"can't be checked: hash 0x{cid.hash:x} with a digest of {len(cid.digest)} bytes isn't supported "
        "(sha2-256, sha2-512, blake2b-256 and identity are)"
    )


def hash_matches(cid: ParsedCid, data: bytes) -> bool | None:
    """Whether `data` matches the CID's hash; None if the hash function isn't supported."""
    if not hash_supported(cid):
        return None
    if cid.hash == SHA2_256:
        return hashlib.sha256(data).digest() == cid.digest
    if cid.hash == SHA2_512:
        return hashlib.sha512(data).digest() == cid.digest
    if cid.hash == BLAKE2B_256:
        return hashlib.blake2b(data, digest_size=32).digest() == cid.digest
    return data == cid.digest


def mismatches(buffer: Buffer, cids: Sequence[bytes], offsets: list[int], lengths: list[int]) -> list[int]:
    """Indexes of the blocks in `buffer` that don't match their CIDs, which must be CIDs of the profile."""
    if not cids:
        return []
    want = np.frombuffer(b"".join([cid[4:] for cid in cids]), dtype=np.uint8).reshape(-1, 32)
    got = sha256_ranges(buffer, np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64))
    differs: list[int] = np.flatnonzero((got != want).any(axis=1)).tolist()
    return differs


def mismatches_of_run(buffer: Buffer, sections: SectionColumns) -> list[int]:
    """Indexes of the sections in `buffer` whose data don't match their CIDs."""
    want = gathered(buffer, sections.contents - _DIGEST_SIZES[SHA2_256], _DIGEST_SIZES[SHA2_256])
    got = sha256_ranges(buffer, sections.contents, sections.ends - sections.contents)
    differs: list[int] = np.flatnonzero((got != want).any(axis=1)).tolist()
    return differs
