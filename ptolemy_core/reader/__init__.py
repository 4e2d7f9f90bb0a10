"""Reads and verifies CARs, independently of the code that builds them.

`verify_car` is for Ptolemy's own CARs, `inspect_car` for anyone's; `open_car` streams sections and blocks. By design
nothing here uses `car` or `layout`. Writing files out of a CAR is `restore`.
"""

from ptolemy_core.reader.car import MAX_SECTION, CarReader, Header, open_car
from ptolemy_core.reader.dagpb import DagPbError, Node, Type, UnixFs, decode_node, decode_unixfs
from ptolemy_core.reader.entry import CarEntry, EachEntry, EntryReceiver, ExpectedEntry, FileRun, Kind
from ptolemy_core.reader.findings import CarError, Code, Finding
from ptolemy_core.reader.hashes import ParsedCid, cid_text, parse_cid
from ptolemy_core.reader.inspection import CarInspection, inspect_car
from ptolemy_core.reader.limits import Limits
from ptolemy_core.reader.links import Link
from ptolemy_core.reader.sections import Batch, Block, Section
from ptolemy_core.reader.seekable import SeekableCar
from ptolemy_core.reader.verify import CarReport, Expected, read_entries, verify_car

__all__ = [
    "MAX_SECTION",
    "Batch",
    "Block",
    "CarEntry",
    "CarError",
    "CarInspection",
    "CarReader",
    "CarReport",
    "Code",
    "DagPbError",
    "EachEntry",
    "EntryReceiver",
    "Expected",
    "ExpectedEntry",
    "FileRun",
    "Finding",
    "Header",
    "Kind",
    "Limits",
    "Link",
    "Node",
    "ParsedCid",
    "Section",
    "SeekableCar",
    "Type",
    "UnixFs",
    "cid_text",
    "decode_node",
    "decode_unixfs",
    "inspect_car",
    "open_car",
    "parse_cid",
    "read_entries",
    "verify_car",
]
