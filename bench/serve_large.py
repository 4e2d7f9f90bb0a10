"""The piece server at its full size, each by name only: a generated CAR of 31 GiB, and 64 clients on 8 CARs.

The source of the large CAR is a sparse file with blocks of random bytes, so that it needs little disk; its holes are
read as zeros, which costs less than reading a disk.
"""

import hashlib
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.data import Bench, big_file
from bench.pieces import Made, Server, crowd, first_bytes, serving
from bench.report import Section
from ptolemy_core.car.whole import whole
from ptolemy_core.catalog import stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.layout import Block, compute_layout
from ptolemy_core.source import open_source

_MIB = 1 << 20
_PART = 64 * _MIB


def large(bench: Bench) -> Section:
    """A generated CAR of 31 GiB: built, opened, read at random, and a part of it checked."""
    section = Section("A generated CAR of 31 GiB", ("what", "figure"))
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name)
        (folder / "source").mkdir()
        size = bench.size(31 << 30, 2 << 30, 24 * _MIB) - 12345
        source = _sparse(folder / "source" / "large.bin", size)
        data = source.stat().st_blocks * 512
        section.row(
            "source: one sparse file", f"{size:,} bytes, {data / 1e9:.2f} GB of them random, not zero"
        )
        made = Made.within(folder)
        started, cpu = time.perf_counter(), time.process_time()
        row = made.build("large", folder / "source", "generated")
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        section.row("scan, plan, build", f"{seconds:.0f} s, {cpu:.0f} CPU s, {row.car_size:,} bytes of CAR")
        (stored,) = stored_cars.by_piece(made.catalog, row.piece_cid_v1)
        section.row("outline", f"{os.path.getsize(stored.outline_path):,} bytes")
        section.row("opened in", f"{_opening(stored):.2f} ms")
        with serving(made.env) as server:
            median, high = first_bytes(server, row, bench.size(300, 100, 5))
            section.row(
                "first byte of a random range of 4 MiB", f"{median:.1f} ms, 99 % within {high:.1f} ms"
            )
            section.target("first byte of a random range, median", median, 20, most=True, unit=" ms")
            blocks, wrong = _checked_part(server, row, folder / "source", source)
            section.row("a part downloaded and checked", f"{blocks} blocks, {wrong} wrong")
            section.row("the server's memory", f"{server.peak() / _MIB:.0f} MiB")
        if wrong:
            section.wrong.append(f"{wrong} of {blocks} blocks are wrong")
    return section


def many(bench: Bench) -> Section:
    """64 clients for a minute on 8 generated CARs; each byte is compared with the staged CAR."""
    section = Section("64 clients on 8 CARs", ("what", "figure"))
    seconds = bench.size(60, 20, 1)
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name)
        made = Made.within(folder)
        rows, files = [], []
        for number in range(8):
            source = folder / f"source{number}"
            source.mkdir()
            big_file(source / "big.bin", bench.size(256 * _MIB, 64 * _MIB, 5 * _MIB), seed=number)
            staged = made.build(f"staged{number}", source, "staged")
            files.append(folder / f"{number}.car")
            (folder / "staging" / f"staged{number}" / staged.file_name).rename(files[-1])
            rows.append(made.build(f"generated{number}", source, "generated"))
        with serving(made.env) as server:
            before = server.cpu()
            total, wrong = crowd(
                [(server, row, car) for row, car in zip(rows, files, strict=True)], 64, seconds
            )
            cost = (server.cpu() - before) / max(total, 1) * 1e9
            section.row("clients, CARs, seconds", f"64, 8, {seconds}")
            section.row("served", f"{total / 1e9:.1f} GB, {cost:.2f} CPU s/GB of the server")
            section.row("wrong bytes", str(wrong))
            peak = server.peak() / _MIB
            section.target("memory of the server", peak, 512, most=True, unit=" MiB")
        if wrong:
            section.wrong.append(f"64 clients: {wrong} wrong bytes")
    return section


def _sparse(path: Path, size: int) -> Path:
    """A file of holes with a random block of 4 MiB in each 32 MiB, and at its end."""
    chance = np.random.default_rng(3)
    with open(path, "wb") as file:
        for at in range(0, size, 32 * _MIB):
            file.seek(at + int(chance.integers(0, 28 * _MIB)))
            file.write(chance.bytes(4 * _MIB)[: max(0, size - file.tell())])
        file.truncate(size)
        os.fsync(file.fileno())
    return path


def _opening(stored: stored_cars.StoredCar) -> float:
    """Milliseconds, the median of 21."""
    times = []
    for _ in range(21):
        started = time.perf_counter()
        stored.open().close()
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


def _checked_part(server: Server, row: CarRow, folder: Path, source: Path) -> tuple[int, int]:
    """Download whole sections from a random place; how many, and how many aren't of the source or of their CIDs."""
    layout = compute_layout(whole(open_source(os.fsencode(folder)))[0])
    first = random.Random(9).randrange(len(layout) // 2) + len(layout) // 4
    last = int(np.searchsorted(layout.offset, layout.offset[first] + _PART))
    last = min(last, len(layout) - 1)
    low, high = int(layout.offset[first]), int(layout.offset[last])
    curl = ["curl", "-sSf", "-r", f"{low}-{high - 1}", server.piece(row)]
    got = subprocess.run(curl, capture_output=True, check=True).stdout
    wrong = int(len(got) != high - low)
    with open(source, "rb") as file:
        for block in range(first, last):
            at = layout.data_offset(block) - low
            data, digest = got[at : at + int(layout.size[block])], got[at - 32 : at]
            wrong += hashlib.sha256(data).digest() != digest
            if layout.kind[block] == Block.LEAF:
                file.seek(int(layout.start[block]))
                wrong += file.read(len(data)) != data
    return last - first, wrong
