"""SHA-256 of many messages at once, and roots of piece-commitment subtrees: the engine's two hot loops.

A small C library does the work, with the best instruction set of this machine. Where it couldn't be built, hashlib
and NumPy give the same results, slowly. `files`, `folders` and `blocks` are the library's other calls: reading many
small files, listing folders, and finding blocks of small files in CARs. No policy on what is read.
Specifications: FIPS 180-4 (SHA-256); Fr32 and the binary tree of Filecoin's piece commitment (FRC-0069).
"""

import functools
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import _native, _python

Buffer: TypeAlias = Any
"""bytes, bytearray, memoryview, mmap, a NumPy array: anything whose bytes are contiguous in memory."""

ENVIRONMENT: Final = "PTOLEMY_KERNEL"
"""The environment variable that forces a variant."""

DIGEST: Final = 32
"""Bytes of a SHA-256 digest, and of a tree node."""

BLOCK: Final = 127
"""Payload bytes that Fr32 turns into 128: the smallest subtree."""

_REMEDY = "install a C compiler (or `pip install ziglang`) and reinstall ptolemy"


def node(left: bytes, right: bytes) -> bytes:
    """The 32-byte parent of two 32-byte tree nodes: SHA-256 of both, cut to 254 bits.

    Raises:
        ValueError: a child isn't 32 bytes.
    """
    if len(left) != DIGEST or len(right) != DIGEST:
        raise ValueError(f"a tree node is {DIGEST} bytes, got {len(left)} and {len(right)}")
    digest = hashlib.sha256(left + right).digest()
    return digest[:31] + bytes((digest[31] & 0x3F,))


@dataclass(frozen=True, slots=True)
class Kernel:
    """One variant of the two hot loops; all variants give the same results.

    Attributes:
        name: "avx512", "sha-ni", "avx2", "arm-sha", "portable" or "python".
    """

    name: str
    _sha256_ranges: Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint8]]
    _subtree_roots: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

    @staticmethod
    def load(name: str) -> "Kernel":
        """The variant of that name.

        Raises:
            RuntimeError: there is no such variant, or it is not available on this machine or in this installation.
        """
        if name == "python":
            return Kernel(name, _python.sha256_ranges, _python.subtree_roots)
        loaded = _native.library()
        if isinstance(loaded, _native.Library) and name in loaded.variants:
            return Kernel(
                name,
                functools.partial(loaded.sha256_ranges, name),
                functools.partial(loaded.subtree_roots, name),
            )
        reason = f" (no compiled kernel: {loaded})" if isinstance(loaded, str) else ""
        raise RuntimeError(
            f"kernel variant {name!r} is not available here{reason}; available: {', '.join(available())}. "
            f"Set {ENVIRONMENT} to one of them, or unset it to use the best"
        )

    def sha256_ranges(
        self, buffer: Buffer, offsets: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """SHA-256 of byte ranges of one buffer; range i is lengths[i] bytes from offsets[i].

        Ranges may overlap and come in any order and length; pass many at once, since they are hashed side by side.
        The GIL is released while hashing; the buffer must not change meanwhile.

        Returns:
            An array of shape (n, 32): the digests, in the order of the ranges.

        Raises:
            ValueError: a range isn't inside the buffer, or the two arrays don't match.
        """
        data = as_bytes(buffer)
        starts = np.ascontiguousarray(offsets, dtype=np.int64)
        sizes = np.ascontiguousarray(lengths, dtype=np.int64)
        check_ranges(data.size, starts, sizes)
        return self._sha256_ranges(data, starts, sizes)

    def subtree_roots(self, buffer: Buffer, subtree_bytes: int) -> NDArray[np.uint8]:
        """Roots of consecutive complete subtrees in a buffer.

        Args:
            buffer: n * subtree_bytes bytes of payload (before Fr32), n >= 0.
            subtree_bytes: payload bytes under one root: 127 * 2**k.

        Returns:
            An array of shape (n, 32).

        Raises:
            ValueError: subtree_bytes isn't 127 * 2**k, or the buffer isn't whole subtrees.
        """
        data = as_bytes(buffer)
        check_subtree_bytes(subtree_bytes)
        if data.size % subtree_bytes:
            raise ValueError(f"{data.size} bytes are not whole subtrees of {subtree_bytes} bytes")
        return self._subtree_roots(data, subtree_bytes)

    def subtree_root(self, buffer: Buffer) -> bytes:
        """The 32-byte root of the subtree over a whole buffer of 127 * 2**k bytes.

        Raises:
            ValueError: the buffer's size isn't 127 * 2**k.
        """
        data = as_bytes(buffer)
        check_subtree_bytes(data.size)
        return self._subtree_roots(data, data.size).tobytes()


def check_subtree_bytes(size: int) -> None:
    """Check that `size` is 127 * 2**k for some k >= 0.

    Raises:
        ValueError: it isn't.
    """
    blocks, rest = divmod(size, BLOCK)
    if rest or blocks < 1 or blocks & (blocks - 1):
        raise ValueError(f"a subtree holds 127 * 2**k bytes of payload, got {size}")


def as_bytes(buffer: Buffer) -> NDArray[np.uint8]:
    """The bytes of a buffer as a flat array, without a copy.

    Raises:
        ValueError: they aren't contiguous in memory.
    """
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise ValueError("the buffer's bytes must be contiguous")
    if view.nbytes == 0:
        return np.empty(0, dtype=np.uint8)
    return np.frombuffer(view, dtype=np.uint8)


def available() -> list[str]:
    """The names of the variants that run here, best first; "python" is always included, last."""
    loaded = _native.library()
    return [*(loaded.variants if isinstance(loaded, _native.Library) else ()), "python"]


def variant() -> str:
    """The name of the variant used by this module's functions."""
    return _default().name


def sha256_ranges(
    buffer: Buffer, offsets: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """`Kernel.sha256_ranges` of the variant in use."""
    return _default().sha256_ranges(buffer, offsets, lengths)


def subtree_roots(buffer: Buffer, subtree_bytes: int) -> NDArray[np.uint8]:
    """`Kernel.subtree_roots` of the variant in use."""
    return _default().subtree_roots(buffer, subtree_bytes)


def subtree_root(buffer: Buffer) -> bytes:
    """`Kernel.subtree_root` of the variant in use."""
    return _default().subtree_root(buffer)


@functools.cache
def _default() -> Kernel:
    """The forced variant, or the best one; chosen once per process.

    Raises:
        RuntimeError: PTOLEMY_KERNEL names a variant that doesn't run here.
    """
    forced = os.environ.get(ENVIRONMENT)
    if forced:
        return Kernel.load(forced)
    loaded = _native.library()
    if isinstance(loaded, str):
        warnings.warn(
            f"hashing runs in pure Python, about 20 times slower than compiled code: {loaded}. "
            f"To speed it up, {_REMEDY}; to silence this warning, set {ENVIRONMENT}=python",
            RuntimeWarning,
            stacklevel=3,
        )
    return Kernel.load(available()[0])


def check_ranges(size: int, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    """Check that all ranges are inside a buffer of `size` bytes.

    Raises:
        ValueError: one isn't.
    """
    if offsets.ndim != 1 or offsets.shape != lengths.shape:
        raise ValueError(
            "offsets and lengths must be two flat arrays of the same length, "
            f"got shapes {offsets.shape} and {lengths.shape}"
        )
    # size - lengths can't overflow, offsets + lengths could
    outside = (offsets < 0) | (lengths < 0) | (offsets > size - lengths)
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(
            f"range {i} ({lengths[i]} bytes from {offsets[i]}) is not inside the buffer of {size} bytes"
        )
