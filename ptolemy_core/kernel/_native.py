"""The compiled kernel, loaded with ctypes: every call releases the GIL."""

import ctypes
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTERFACE = 8
"""The number that `ptolemy_kernel_interface` of native/kernel.h must return."""

PATH = Path(__file__).with_name("libkernel.dylib" if sys.platform == "darwin" else "libkernel.so")


@dataclass(frozen=True, slots=True)
class Library:
    """The loaded shared library.

    Attributes:
        variants: names of the variants that this machine's CPU can run, best first.
    """

    handle: ctypes.CDLL
    variants: dict[str, int]

    def sha256_ranges(
        self,
        name: str,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        """SHA-256 of each range; the caller has checked them."""
        digests = np.empty((offsets.size, 32), dtype=np.uint8)
        order = _order(lengths)
        self.handle.ptolemy_sha256_ranges(
            self.variants[name],
            data.ctypes.data,
            offsets.ctypes.data,
            lengths.ctypes.data,
            None if order is None else order.ctypes.data,
            offsets.size,
            digests.ctypes.data,
        )
        return digests

    def subtree_roots(self, name: str, data: NDArray[np.uint8], subtree_bytes: int) -> NDArray[np.uint8]:
        """The root of each subtree; the caller has checked the size."""
        roots = np.empty((data.size // subtree_bytes, 32), dtype=np.uint8)
        self.handle.ptolemy_subtree_roots(
            self.variants[name], data.ctypes.data, subtree_bytes // 127, len(roots), roots.ctypes.data
        )
        return roots

    def open_beneath(self, root: int, path: bytes, flags: int, by_steps: bool) -> int:
        """Open an entry beneath an open folder; -errno if that fails."""
        return int(self.handle.ptolemy_open_beneath(root, path, flags, by_steps))

    def list_folder(
        self, descriptor: int, prefix: bytes, paths: bytearray, columns: NDArray[np.int64]
    ) -> tuple[int, tuple[int, int]]:
        """List a folder into `paths` and the columns mode, size, mtime.

        Returns:
            the number of entries, or -errno; and the capacity needed, in entries and bytes.
        """
        needed = (ctypes.c_int64 * 2)()
        found = self.handle.ptolemy_list_folder(
            descriptor,
            prefix,
            len(prefix),
            (ctypes.c_char * len(paths)).from_buffer(paths),
            len(paths),
            *(column.ctypes.data for column in columns),
            columns.shape[1],
            needed,
        )
        return found, (needed[0], needed[1])


@functools.cache
def library(path: Path = PATH) -> Library | str:
    """The compiled kernel, or why there is none."""
    if not path.exists():
        return f"{path.name} was not built when ptolemy was installed"
    try:
        handle = ctypes.CDLL(str(path))
        interface = int(handle.ptolemy_kernel_interface())
    except (OSError, AttributeError) as error:
        return f"{path.name} can't be loaded ({error})"
    if interface != INTERFACE:
        return f"{path.name} was built from other sources (interface {interface}, not {INTERFACE})"
    declare(handle)
    return Library(handle, variants(handle))


def _order(lengths: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The order to hash in, longest first, so that all lanes stay busy to the end; None for the given order.

    Only groups of a few thousand neighbours are sorted: sorting all would scatter memory accesses.
    """
    if not lengths.size or lengths.min() == lengths.max():
        return None
    group = np.arange(lengths.size, dtype=np.int64) >> 12
    return np.argsort((group << 48) - lengths)


def declare(handle: ctypes.CDLL) -> None:
    """State the types of all functions."""
    number, address, integer = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
    handle.ptolemy_variant_name.argtypes = [integer]
    handle.ptolemy_variant_name.restype = ctypes.c_char_p
    handle.ptolemy_variant_available.argtypes = [integer]
    handle.ptolemy_variant_available.restype = integer
    handle.ptolemy_sha256_ranges.argtypes = [integer, *[address] * 4, number, address]
    handle.ptolemy_sha256_ranges.restype = None
    handle.ptolemy_subtree_roots.argtypes = [integer, address, number, number, address]
    handle.ptolemy_subtree_roots.restype = None
    _declare_files(handle)
    _declare_blocks(handle)


def _declare_files(handle: ctypes.CDLL) -> None:
    number, address = ctypes.c_int64, ctypes.c_void_p
    text, integer = ctypes.c_char_p, ctypes.c_int
    handle.ptolemy_read_files.argtypes = [integer, *[address] * 6, integer]
    handle.ptolemy_read_files.restype = None
    handle.ptolemy_open_beneath.argtypes = [integer, text, integer, integer]
    handle.ptolemy_open_beneath.restype = integer
    room: list[Any] = [address, number, *[address] * 3, number, address]
    handle.ptolemy_list_folder.argtypes = [integer, text, number, *room]
    handle.ptolemy_list_folder.restype = number
    handle.ptolemy_walk_start.argtypes = [integer]
    handle.ptolemy_walk_start.restype = address
    handle.ptolemy_walk_next.argtypes = [address, address]
    handle.ptolemy_walk_next.restype = number
    handle.ptolemy_walk_end.argtypes = [address]
    handle.ptolemy_walk_end.restype = None


def _declare_blocks(handle: ctypes.CDLL) -> None:
    number, address = ctypes.c_int64, ctypes.c_void_p
    text, integer = ctypes.c_char_p, ctypes.c_int
    handle.ptolemy_car_sections.argtypes = [address, *[number] * 4, *[address] * 3]
    handle.ptolemy_car_sections.restype = number
    handle.ptolemy_dag_links.argtypes = [text, number, number, *[address] * 5]
    handle.ptolemy_dag_links.restype = number
    other: list[Any] = [text, address, address, number, number]
    handle.ptolemy_matching_leaves.argtypes = [*[address] * 3, number, *other]
    handle.ptolemy_matching_leaves.restype = number
    handle.ptolemy_put_heads.argtypes = [address, number, *[address] * 3, number]
    handle.ptolemy_put_heads.restype = number
    handle.ptolemy_copy_pieces.argtypes = [address, number, *[address] * 3, number]
    handle.ptolemy_copy_pieces.restype = None
    handle.ptolemy_encode_nodes.argtypes = [integer, address, address, number, address]
    handle.ptolemy_encode_nodes.restype = number
    into: list[Any] = [address, address, number, address]
    handle.ptolemy_layout_nodes.argtypes = [integer, address, address, number, address, *into]
    handle.ptolemy_layout_nodes.restype = number


def variants(handle: ctypes.CDLL) -> dict[str, int]:
    variants = {}
    number = 0
    while name := handle.ptolemy_variant_name(number):
        if handle.ptolemy_variant_available(number):
            variants[name.decode("ascii")] = number
        number += 1
    return variants
