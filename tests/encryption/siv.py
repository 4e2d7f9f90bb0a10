"""AES-SIV as RFC 5297 says it, step by step, on AES alone."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


def _mac(key: bytes, data: bytes) -> bytes:
    made = CMAC(algorithms.AES(key))
    made.update(data)
    return made.finalize()


def _double(block: bytes) -> bytes:
    value = int.from_bytes(block, "big") << 1
    if value >> 128:
        value = (value & ((1 << 128) - 1)) ^ 0x87
    return value.to_bytes(16, "big")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def encrypt(key: bytes, plain: bytes, associated: list[bytes]) -> bytes:
    """The synthetic IV, and the ciphertext behind it."""
    first, second = key[: len(key) // 2], key[len(key) // 2 :]
    d = _mac(first, bytes(16))
    for data in associated:
        d = _xor(_double(d), _mac(first, data))
    if len(plain) >= 16:
        t = plain[:-16] + _xor(plain[-16:], d)
    else:
        t = _xor(_double(d), (plain + b"\x80").ljust(16, b"\0"))
    v = _mac(first, t)
    masked = int.from_bytes(v, "big") & ~((1 << 63) | (1 << 31))
    stream = Cipher(algorithms.AES(second), modes.CTR(masked.to_bytes(16, "big"))).encryptor()
    return v + stream.update(plain)
