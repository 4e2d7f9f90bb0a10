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

<<<<<<< HEAD
ARGUMENTS, NAME = 12, 64
=======
ARGUMENTS, POINTERS, NAME = 12, 64, 64
>>>>>>> engine
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


SIGNATURES: Final[Mapping[str, Signature]] = {
    "ptolemy_sha256_ranges": Signature(
        lambda a: _of(
            (1, _reach(a[2], a[3], a[5])), *((k, 8 * a[5]) for k in (2, 3, 4)), (6, 32 * a[5]), written=[6]
        )
    ),
    "ptolemy_subtree_roots": Signature(lambda a: _of((1, 127 * a[2] * a[3]), (4, 32 * a[3]), written=[4])),
    "ptolemy_read_files": Signature(
<<<<<<< HEAD
        lambda a: _read_files(_paths(_address(a[1])), longs(_address(a[1]), 1)[0], a), takes_descriptor=True
=======
        lambda a: {
            2: _reach(a[3], a[4], _fields(a[1])[0]),
            3: 8 * _fields(a[1])[0],
            4: 8 * _fields(a[1])[0],
            5: 32 * _fields(a[1])[0],
            6: 48 * _fields(a[1])[0],
        },
        frozenset({2, 6}),
        takes_descriptor=True,
>>>>>>> engine
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
<<<<<<< HEAD
    "ptolemy_encode_nodes": Signature(
        lambda a: {
            1: _nodes(_address(a[1])),
            2: Region(a[3], True),
            4: Region(8 * longs(_address(a[1]), 1)[0], True),
        }
    ),
    "ptolemy_gather_links": Signature(
        lambda a: {
            0: _layout(_address(a[0])),
            1: Region(8 * a[2]),
            3: _links(_address(a[3])),
            4: Region(8 * (a[2] + 1), True),
        }
    ),
    "ptolemy_variant_name": Signature(lambda a: {}),
    "ptolemy_variant_available": Signature(lambda a: {}),
    "ptolemy_kernel_interface": Signature(lambda a: {}),
=======
    "ptolemy_encode_nodes": Signature(lambda a: {2: a[3], 4: 8 * _fields(a[1])[0]}, frozenset({2, 4})),
    "ptolemy_layout_nodes": Signature(
        lambda a: {2: 8 * a[3], 5: 32 * _fields(a[1])[0], 6: a[7], 8: 8 * a[3]}, frozenset({5, 6, 8})
    ),
    "ptolemy_walk_start": Signature(lambda a: {}, frozenset(), takes_descriptor=True),
    "ptolemy_walk_next": Signature(lambda a: {}, frozenset()),
    "ptolemy_walk_end": Signature(lambda a: {}, frozenset()),
    "ptolemy_variant_name": Signature(lambda a: {}, frozenset()),
    "ptolemy_variant_available": Signature(lambda a: {}, frozenset()),
    "ptolemy_kernel_interface": Signature(lambda a: {}, frozenset()),
>>>>>>> engine
}
"""Every function of the library that Python calls."""


<<<<<<< HEAD
def _read_files(paths: Region, count: int, a: Arguments) -> dict[int, Region]:
    sizes = [(2, _reach(a[3], a[4], count)), (3, 8 * count), (4, 8 * count), (5, 32 * count), (6, 48 * count)]
    return {1: paths, **_of(*sizes, written=[2, 6])}


=======
def _fields(argument: Any) -> list[int]:
    """The numbers and addresses of a structure that is passed by its address."""
    return numbers(ctypes.addressof(argument._obj), ctypes.sizeof(argument._obj) // 8)


@dataclass(frozen=True)
class Pointer:
    """An address in a structure.

    Attributes:
        field: which one it is.
        size: bytes there.
        written: whether the function writes them.
        leads: if these are addresses too: the bytes at each of them.
    """

    field: int
    size: int
    written: bool = False
    leads: tuple[int, ...] | None = None


def _nodes(fields: list[int]) -> list[Pointer]:
    count, blocks, edges, name_ends = fields[0], fields[1], fields[4], fields[8]
    links = numbers(edges, count + 1)[-1]
    sizes = [8 * count, 8 * count, 8 * (count + 1), *[8 * links] * 4, count, links, _last(name_ends, links)]
    return [*_pointers(2, sizes), Pointer(12, 32 * blocks, written=True)]


def _paths(fields: list[int]) -> list[Pointer]:
    count, runs, _, _, ends, _, folder_ends = fields
    sizes = [_name_ends(ends, count)[-1], _last(folder_ends, runs), 4 * (count + 1), 4 * runs, 8 * runs]
    return _pointers(2, sizes)


def _layout(fields: list[int]) -> list[Pointer]:
    blocks, nodes, larges, pages = *fields[:3], fields[11]
    firsts = numbers(fields[12], pages + 1)
    counts = [high - low for low, high in itertools.pairwise(firsts)]
    ends = zip(numbers(fields[14], pages), counts, strict=True)
    texts = tuple(_name_ends(address, count)[-1] for address, count in ends)
    sizes = [blocks, 4 * blocks, *[8 * nodes] * 4, 8 * larges, 8 * (larges + 1)]
    return [
        *_pointers(3, sizes),
        Pointer(12, 8 * (pages + 1)),
        Pointer(13, 8 * pages, leads=texts),
        Pointer(14, 8 * pages, leads=tuple(4 * (count + 1) for count in counts)),
    ]


def _links(fields: list[int]) -> list[Pointer]:
    room, size = fields[:2]
    return _pointers(2, [*[8 * room] * 4, room, size], written=True)


def _walked(fields: list[int]) -> list[Pointer]:
    room, names, folders = fields[:3]
    return _pointers(5, [names, folders, 4 * (room + 1), 4 * room, *[8 * room] * 6], written=True)


def _pointers(first: int, sizes: list[int], *, written: bool = False) -> list[Pointer]:
    """Fields one after the other that are addresses."""
    return [Pointer(first + number, size, written) for number, size in enumerate(sizes)]


def _name_ends(address: int, count: int) -> list[int]:
    return list((ctypes.c_uint32 * (count + 1)).from_address(address))


STRUCTURES: Final[Mapping[tuple[str, int], Callable[[list[int]], list[Pointer]]]] = {
    ("ptolemy_encode_nodes", 1): _nodes,
    ("ptolemy_read_files", 1): _paths,
    ("ptolemy_layout_nodes", 1): _layout,
    ("ptolemy_layout_nodes", 4): _links,
    ("ptolemy_walk_next", 1): _walked,
}
"""Arguments that are a structure's address, and the addresses in it."""


@dataclass
>>>>>>> engine
class _Memory:
    """What is sent along with a call: regions of this process' memory, with gaps between them.

<<<<<<< HEAD
    Attributes:
        addresses: where in it addresses are, which are offsets in it until it is there.
    """
=======
    data: bytearray = field(default_factory=lambda: bytearray(GAP))
    regions: list[tuple[int, int, int, bool]] = field(default_factory=list)
    structures: list[tuple[Any, Any, list[Pointer]]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
>>>>>>> engine

    def __init__(self) -> None:
        self.data = bytearray(GAP)
        self.addresses: list[int] = []
        self._written: list[tuple[int, int, int]] = []

    def add(self, address: int, region: Region) -> int:
        """Copy a region and what it leads to; its offset."""
        at = len(self.data)
        self.data += (ctypes.string_at(address, region.size) if region.size else b"") + bytes(
            -region.size % 16
        )
        self.data += GAP
        if region.written:
            self._written.append((at, address, region.size))
        for offset, inner in region.addresses.items():
            [target] = longs(address + offset, 1)
            moved = self.add(target, inner)
            self.data[at + offset : at + offset + 8] = moved.to_bytes(8, "little")
            self.addresses.append(at + offset)
        return at

    def take_back(self, after: bytes) -> None:
        """Copy what was written.

        Raises:
            AssertionError: anything else was, too.
        """
        expected = bytearray(self.data)
        for at, address, size in self._written:
            if size:
                ctypes.memmove(address, after[at : at + size], size)
            expected[at : at + size] = after[at : at + size]
        for at in self.addresses:  # as they are there
            expected[at : at + 8] = after[at : at + 8]
        assert expected == after, "the call wrote outside of its results"
        for argument, moved, pointers in self.structures:
            own = (ctypes.c_int64 * len(moved)).from_address(ctypes.addressof(argument._obj))
            for number in set(range(len(moved))) - {pointer.field for pointer in pointers}:
                own[number] = moved[number]


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
<<<<<<< HEAD
            if argument is None:
                continue
            if place in regions:
                words[place] = memory.add(_address(argument), regions[place])
                addresses[place] = 1
            else:
=======
            if (self._name, place) in STRUCTURES:
                words[place], own = self._add_structure(memory, argument, place)
                addresses[place] = 1
                pointers += own
            elif place in sizes and argument is not None:
                words[place] = memory.add(_address(argument), sizes[place], place in signature.written)
                addresses[place] = 1
            elif argument is not None:
>>>>>>> engine
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

<<<<<<< HEAD
=======
    def _add_structure(self, memory: _Memory, argument: Any, place: int) -> tuple[int, list[int]]:
        """Add a structure and what its addresses lead to: its offset, and where addresses are."""
        fields = _fields(argument)
        described = STRUCTURES[self._name, place](fields)
        moved = (ctypes.c_int64 * len(fields))(*fields)
        inner: list[int] = []
        for pointer in described:
            address = fields[pointer.field]
            if pointer.leads is not None:
                leads = zip(numbers(address, len(pointer.leads)), pointer.leads, strict=True)
                array = (ctypes.c_int64 * len(pointer.leads))(*(memory.add(*one, False) for one in leads))
                memory.kept.append(array)
                address = ctypes.addressof(array)
            at = memory.add(address, pointer.size, pointer.written or pointer.leads is not None)
            moved[pointer.field] = at
            inner += [at + 8 * number for number in range(len(pointer.leads or ()))]
        memory.structures.append((argument, moved, described))
        own = memory.add(ctypes.addressof(moved), ctypes.sizeof(moved), True)  # its addresses change there
        return own, [own + 8 * pointer.field for pointer in described] + inner

>>>>>>> engine

class Library:
    """What `ctypes.CDLL` gives, for a library that runs in an emulator."""

    def __init__(self, command: Sequence[str | Path], library: Path) -> None:
        """Start the program emulated.c, with the emulator's command before it."""
        self._socket, other = socket.socketpair()
        with other:
            number = other.fileno()
            self._process = subprocess.Popen([*command, library, str(number)], pass_fds=[number])
        self._lock = threading.Lock()
        self._functions: dict[str, Function] = {}

    def __getattr__(self, name: str) -> Function:
        if not name.startswith("ptolemy_"):
            raise AttributeError(name)
        return self._functions.setdefault(name, Function(self, name))

    def call(self, header: bytes, memory: bytes, descriptor: int) -> tuple[int, bytes, int | None]:
        """Call a function: its result, the memory afterwards, and the descriptor that it opened."""
        descriptors = [descriptor] if descriptor >= 0 else []
        with self._lock:
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
