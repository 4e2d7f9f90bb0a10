"""A shared library of another CPU, called as ctypes would: each call runs in a process of an emulator.

What C gets as an address is copied there and back. So each function's memory is described here: how many bytes an
address has, and which may be written. The others, and the bytes around them, must be the same after the call.
"""

import ctypes
import itertools
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

ARGUMENTS, NAME = 12, 64
GAP: Final = b"\xa5" * 64
"""Between the regions of a call's memory."""

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Region:
    """Memory at an address.

    Attributes:
        size: bytes.
        written: whether the function writes it.
        addresses: what is at the addresses that are in it, by their offsets.
    """

    size: int
    written: bool = False
    addresses: "Mapping[int, Region]" = field(default_factory=dict)


@dataclass(frozen=True)
class Signature:
    """How a function uses its arguments.

    Attributes:
        regions: what is at the addresses among the arguments, by their numbers.
        takes_descriptor: argument 0 is a file descriptor.
        gives_descriptor: and so is the result.
        flags: the argument that is flags of open(2), whose numbers depend on the CPU.
    """

    regions: Callable[[Arguments], Mapping[int, Region]]
    takes_descriptor: bool = False
    gives_descriptor: bool = False
    flags: int | None = None


FLAGS: Final = {os.O_DIRECTORY: 0o40000, os.O_NOFOLLOW: 0o100000, getattr(os, "O_DIRECT", 0): 0o200000}
"""Flags of open(2) here, and the same on ARM."""


def _flags_there(flags: int) -> int:
    same = flags & ~sum(FLAGS)
    return same | sum(there for here, there in FLAGS.items() if flags & here)


def longs(address: int, count: int) -> list[int]:
    """The 64-bit numbers at an address."""
    return list((ctypes.c_int64 * count).from_address(address)) if count else []


def _words(address: int, count: int) -> list[int]:
    """The unsigned 32-bit numbers at an address."""
    return list((ctypes.c_uint32 * count).from_address(address)) if count else []


def _reach(offsets: int, lengths: int, count: int) -> int:
    pairs = zip(longs(offsets, count), longs(lengths, count), strict=True)
    return max((offset + length for offset, length in pairs), default=0)


def _last(ends: int, count: int) -> int:
    return max(longs(ends, count), default=0)


def _of(*numbers_and_sizes: tuple[int, int], written: Sequence[int] = ()) -> dict[int, Region]:
    return {number: Region(size, number in written) for number, size in numbers_and_sizes}


def _struct(fields: int, first: int, sizes: Sequence[int], written: Sequence[int] = ()) -> Region:
    """A struct of `fields` numbers and addresses, with addresses from number `first` on, of so many bytes each."""
    regions = [Region(size, first + k in written) for k, size in enumerate(sizes)]
    return Region(8 * fields, addresses={8 * (first + k): region for k, region in enumerate(regions)})


def _nodes(address: int) -> Region:
    """A `struct nodes` (native/encode.c)."""
    count, blocks, _, _, edges, _, _, _, name_ends, *_ = longs(address, 13)
    links = longs(edges, count + 1)[-1]
    sizes = [8 * count, 8 * count, 8 * (count + 1), *[8 * links] * 4, count, links]
    return _struct(13, 2, [*sizes, _last(name_ends, links), 32 * blocks], written=[12])


def _paths(address: int) -> Region:
    """A `struct paths` (native/files.c)."""
    count, runs, _, _, ends, _, folder_ends = longs(address, 7)
    names, folders = _words(ends, count + 1)[-1], _last(folder_ends, runs)
    return _struct(7, 2, [names, folders, 4 * (count + 1), 4 * runs, 8 * runs])


def _layout(address: int) -> Region:
    """A `struct layout` (native/links.c)."""
    blocks, nodes, larges, *_, pages, firsts, _, ends = longs(address, 15)
    found = _struct(15, 3, [blocks, 4 * blocks, *[8 * nodes] * 4, 8 * larges, 8 * (larges + 1)])
    first = longs(firsts, pages + 1)
    counts = [after - before + 1 for before, after in itertools.pairwise(first)]
    last = [_words(at, count)[-1] for at, count in zip(longs(ends, pages), counts, strict=True)]
    tables = {
        96: Region(8 * len(first)),
        104: Region(8 * pages, addresses={8 * k: Region(size) for k, size in enumerate(last)}),
        112: Region(8 * pages, addresses={8 * k: Region(4 * count) for k, count in enumerate(counts)}),
    }
    return replace(found, addresses={**found.addresses, **tables})


def _links(address: int) -> Region:
    """A `struct links` (native/links.c)."""
    room, size = longs(address, 2)
    return _struct(8, 2, [*[8 * room] * 4, room, size], written=range(2, 8))


def _walked(address: int) -> Region:
    """A `struct walked` (native/walk.c)."""
    room, names, folders = longs(address, 3)
    sizes = [names, folders, 4 * (room + 1), 4 * room, *[8 * room] * 6]
    return replace(_struct(15, 5, sizes, written=range(5, 15)), written=True)


SIGNATURES: Final[Mapping[str, Signature]] = {
    "ptolemy_sha256_ranges": Signature(
        lambda a: _of(
            (1, _reach(a[2], a[3], a[5])), *((k, 8 * a[5]) for k in (2, 3, 4)), (6, 32 * a[5]), written=[6]
        )
    ),
    "ptolemy_subtree_roots": Signature(lambda a: _of((1, 127 * a[2] * a[3]), (4, 32 * a[3]), written=[4])),
    "ptolemy_read_files": Signature(
        lambda a: _read_files(_paths(_address(a[1])), longs(_address(a[1]), 1)[0], a), takes_descriptor=True
    ),
    "ptolemy_open_beneath": Signature(
        lambda a: _of((1, len(a[1]) + 1)), takes_descriptor=True, gives_descriptor=True, flags=2
    ),
    "ptolemy_list_folder": Signature(
        lambda a: _of(
            (1, a[2]), (3, a[4]), *((k, 8 * a[8]) for k in (5, 6, 7)), (9, 16), written=[3, 5, 6, 7, 9]
        ),
        takes_descriptor=True,
    ),
    "ptolemy_car_sections": Signature(
        lambda a: _of((0, a[2]), *((k, 8 * a[4]) for k in (5, 6, 7)), written=[5, 6, 7])
    ),
    "ptolemy_dag_links": Signature(
        lambda a: _of((0, a[1]), *((k, 8 * a[2]) for k in (3, 4, 5, 6)), (7, 24), written=range(3, 8))
    ),
    "ptolemy_matching_leaves": Signature(
        lambda a: _of(
            (0, _last(a[2], a[3])),
            *((k, 8 * a[3]) for k in (1, 2)),
            (4, len(a[4])),
            *((k, 8 * a[7]) for k in (5, 6)),
        )
    ),
    "ptolemy_put_heads": Signature(
        lambda a: _of((0, a[1]), (2, 8 * a[5]), (3, 8 * a[5]), (4, 32 * a[5]), written=[0])
    ),
    "ptolemy_copy_pieces": Signature(
        lambda a: _of((0, a[1]), (2, 8 * a[5]), (3, _last(a[4], a[5])), (4, 8 * a[5]), written=[0])
    ),
    "ptolemy_encode_nodes": Signature(
        lambda a: {
            1: _nodes(_address(a[1])),
            2: Region(a[3], True),
            4: Region(8 * longs(_address(a[1]), 1)[0], True),
        }
    ),
    "ptolemy_layout_nodes": Signature(
        lambda a: {
            1: _layout(_address(a[1])),
            4: _links(_address(a[4])),
            **_of(
                (2, 8 * a[3]),
                (5, 32 * longs(_address(a[1]), 1)[0]),
                (6, a[7]),
                (8, 8 * a[3]),
                written=[5, 6, 8],
            ),
        }
    ),
    "ptolemy_walk_start": Signature(lambda a: {}, takes_descriptor=True),
    "ptolemy_walk_next": Signature(lambda a: {1: _walked(_address(a[1]))}),
    "ptolemy_walk_end": Signature(lambda a: {}),
    "ptolemy_variant_name": Signature(lambda a: {}),
    "ptolemy_variant_available": Signature(lambda a: {}),
    "ptolemy_kernel_interface": Signature(lambda a: {}),
}
"""Every function of the library that Python calls."""


def _read_files(paths: Region, count: int, a: Arguments) -> dict[int, Region]:
    sizes = [(2, _reach(a[3], a[4], count)), (3, 8 * count), (4, 8 * count), (5, 32 * count), (6, 48 * count)]
    return {1: paths, **_of(*sizes, written=[2, 6])}


class _Memory:
    """What is sent along with a call: regions of this process' memory, with gaps between them.

    Attributes:
        addresses: where in it addresses are, which are offsets in it until it is there.
    """

    def __init__(self) -> None:
        self.data = bytearray(GAP)
        self.addresses: list[int] = []
        self._written: list[tuple[int, int, int, tuple[int, ...]]] = []

    def add(self, address: int, region: Region) -> int:
        """Copy a region and what it leads to; its offset."""
        at = len(self.data)
        self.data += (ctypes.string_at(address, region.size) if region.size else b"") + bytes(
            -region.size % 16
        )
        self.data += GAP
        if region.written:
            self._written.append((at, address, region.size, tuple(region.addresses)))
        for offset, inner in region.addresses.items():
            [target] = longs(address + offset, 1)
            moved = self.add(target, inner)
            self.data[at + offset : at + offset + 8] = moved.to_bytes(8, "little")
            self.addresses.append(at + offset)
        return at

    def take_back(self, after: bytes) -> None:
        """Copy what was written, but for addresses.

        Raises:
            AssertionError: anything else was, too.
        """
        expected = bytearray(self.data)
        for at, address, size, kept in self._written:
            if size:
                own = [longs(address + offset, 1)[0] for offset in kept]
                ctypes.memmove(address, after[at : at + size], size)
                for offset, inner in zip(kept, own, strict=True):
                    ctypes.c_int64.from_address(address + offset).value = inner
            expected[at : at + size] = after[at : at + size]
        for at in self.addresses:  # as they are there
            expected[at : at + 8] = after[at : at + 8]
        assert expected == after, "the call wrote outside of its results"


class Function:
    """One function of the library."""

    argtypes: Any = None
    restype: Any = None

    def __init__(self, library: "Library", name: str) -> None:
        self._library = library
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        signature = SIGNATURES[self._name]
        memory, words, addresses = _Memory(), [0] * ARGUMENTS, [0] * ARGUMENTS
        regions = signature.regions(arguments)
        for place, argument in enumerate(arguments):
            if argument is None:
                continue
            if place in regions:
                words[place] = memory.add(_address(argument), regions[place])
                addresses[place] = 1
            else:
                words[place] = _flags_there(argument) if place == signature.flags else int(argument)
        text = self.restype is ctypes.c_char_p
        descriptor = words[0] if signature.takes_descriptor else -1
        header = struct.pack(
            f"{NAME}s{4 + 2 * ARGUMENTS}q",
            self._name.encode(),
            len(memory.data),
            len(memory.addresses),
            signature.takes_descriptor,
            2 if text else signature.gives_descriptor,
            *words,
            *addresses,
        ) + struct.pack(f"{len(memory.addresses)}q", *memory.addresses)
        result, after, opened = self._library.call(header, memory.data, descriptor)
        if text:
            return after.split(b"\0")[0] if result else None
        memory.take_back(after)
        if self.restype in (None, ctypes.c_int):
            result = ctypes.c_int(result).value
        return result if opened is None else opened


class Library:
    """What `ctypes.CDLL` gives, for a library that runs in an emulator.

    Attributes:
        called: names of the functions that were.
    """

    def __init__(self, command: Sequence[str | Path], library: Path) -> None:
        """Start the program emulated.c, with the emulator's command before it."""
        self._socket, other = socket.socketpair()
        with other:
            number = other.fileno()
            self._process = subprocess.Popen([*command, library, str(number)], pass_fds=[number])
        self._lock = threading.Lock()
        self._functions: dict[str, Function] = {}
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Function:
        if not name.startswith("ptolemy_"):
            raise AttributeError(name)
        return self._functions.setdefault(name, Function(self, name))

    def call(self, header: bytes, memory: bytes, descriptor: int) -> tuple[int, bytes, int | None]:
        """Call a function: its result, the memory afterwards, and the descriptor that it opened."""
        descriptors = [descriptor] if descriptor >= 0 else []
        with self._lock:
            self.called.add(header[:NAME].rstrip(b"\0").decode())
            socket.send_fds(self._socket, [header[:1]], descriptors)
            self._socket.sendall(header[1:])
            self._socket.sendall(memory)
            answer, opened, _, _ = socket.recv_fds(self._socket, 8, 1)
            after = bytearray()
            while len(after) < len(memory) and (more := self._socket.recv(1 << 20)):
                after += more
        if len(answer) + len(after) < 8 + len(memory):
            raise RuntimeError(f"the emulated process ended: {self._process.wait()}")
        return struct.unpack("q", answer)[0], bytes(after), opened[0] if opened else None

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait(10)


def _address(argument: Any) -> int:
    if isinstance(argument, int):
        return argument
    if isinstance(argument, bytes):
        return ctypes.cast(ctypes.c_char_p(argument), ctypes.c_void_p).value or 0
    return ctypes.addressof(getattr(argument, "_obj", argument))  # what ctypes.byref gave, or an array
