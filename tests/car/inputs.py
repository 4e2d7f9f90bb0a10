"""The inputs that the vectors in tests/vectors/unixfs name, made again from their descriptions."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from tests.commp import streams

_PIECE = 1 << 20
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz01234567890-_"


def stream(description: dict[str, Any]) -> Iterator[bytes]:
    """The bytes of one described file."""
    if description["gen"] == "chacha20":
        yield from key_stream(description["seed"], description["size"])
    elif "times" in description:
        yield description["text"].encode() * description["times"]
    else:
        yield from streams.stream(description)


def key_stream(seed: str, size: int) -> Iterator[bytes]:
    """The ChaCha20 key stream, nonce and counter zero, whose key is the SHA-256 of the seed."""
    cipher = Cipher(algorithms.ChaCha20(hashlib.sha256(seed.encode()).digest(), bytes(16)), None)
    encryptor = cipher.encryptor()
    for at in range(0, size, _PIECE):
        yield encryptor.update(bytes(min(_PIECE, size - at)))


def make(path: bytes, description: dict[str, Any]) -> None:
    """Write a described file or tree at `path`."""
    if description["gen"] != "tree":
        write(path, description)
        return
    os.makedirs(path, exist_ok=True)
    for entry in description["entries"]:
        for name, content in entries(entry):
            place = os.path.join(path, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if content.get("type") == "dir":
                os.makedirs(place, exist_ok=True)
            elif content.get("type") == "symlink":
                os.symlink(os.fsencode(content["target"]), place)
            else:
                write(place, content)


def write(path: bytes, description: dict[str, Any]) -> None:
    """A file of this stream; zeros are left as holes."""
    with open(path, "wb") as file:
        if description.get("byte") == 0:
            file.truncate(description["size"])
            return
        for piece in stream(description):
            file.write(piece)


def entries(entry: dict[str, Any]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Path and content of each entry that one description stands for."""
    if "many" in entry:
        for number in range(entry.get("start", 0), entry.get("start", 0) + entry["many"]):
            path, text = (s % number if "%" in s else s for s in (entry["path"], entry["content"]))
            yield path.encode(), {"gen": "text", "text": text}
    elif "kubo_names" in entry:
        source = b"".join(key_stream(entry["seed"], 1 << 20))
        for number in range(entry["kubo_names"]):
            last = number == entry["kubo_names"] - 1
            start, length = number * entry["len"], entry["last"] if last else entry["len"]
            name = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in source[start : start + length])
            yield name, {"gen": "text", "text": "x"}
    else:
        yield os.fsencode(entry["path"]), entry
