"""CARs without files: a build that keeps an outline beside one that keeps the CAR, and reading generated CARs.

The floor of reading is what it can't do without: the source's bytes read, and leaves hashed, here one after the other
with the same functions, on one thread. CPU seconds are what to compare on a machine that others use.
"""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.big_file import _memory_folder
from bench.data import Bench, big_file, chill, small_files, warm
from bench.jobs import Clock
from bench.measure import Run, Sample, alternate, job, spread
from bench.report import Section, mib
from ptolemy_core import kernel
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outline_file import write_outline
from ptolemy_core.car.outlined import outline_car, outline_name
from ptolemy_core.car.whole import whole
from ptolemy_core.dag import cid
from ptolemy_core.layout import ItemsBuilder, compute_layout
from ptolemy_core.source import Inputs, PosixSource, Stamps, open_source
from ptolemy_core.tree import Kind

_STEP = 16 << 20
_LEAF = 1 << 20
_RANGE = 4 << 20


def outline(path: str, out: str) -> dict[str, Any]:
    """Job: a build that keeps only the outline; its payload CID, and the outline's path and size."""
    items, inputs = whole(open_source(os.fsencode(path)))
    layout = compute_layout(items)
    with Clock() as clock:
        built = outline_car(layout, inputs, out, BuildOptions())
    place = os.path.join(out, outline_name(built.file_name))
    return clock.answer(
        build_cpu=clock.cpu,
        build_wall=clock.wall,
        piece=cid.to_text(built.piece_cid_v1),
        path=place,
        size=os.path.getsize(place),
        blocks=len(layout),
        files=len(items),
    )


def read(outline_path: str, path: str, step: int) -> dict[str, Any]:
    """Job: a generated CAR from its begin to its end, `step` bytes at once, on one thread."""
    with GeneratedCar(Outline(outline_path), open_source(os.fsencode(path))) as car:
        buffer = memoryview(bytearray(step))
        with Clock() as clock:
            for at in range(0, car.size, step):
                car.read_into(at, buffer[: min(step, car.size - at)])
        return clock.answer(bytes=car.size)


def floor(path: str) -> dict[str, Any]:
    """Job: a file read and its leaves hashed, on one thread."""
    size = os.path.getsize(path)
    buffer = bytearray(_STEP)
    descriptor = os.open(path, os.O_RDONLY)
    with Clock() as clock:
        for at in range(0, size, _STEP):
            got = os.preadv(descriptor, [buffer], at)
            offsets = np.arange(0, got, _LEAF, dtype=np.int64)
            kernel.sha256_ranges(buffer, offsets, np.minimum(got - offsets, _LEAF))
    os.close(descriptor)
    return clock.answer(bytes=size)


def ranges(outline_path: str, path: str, count: int) -> dict[str, Any]:
    """Job: milliseconds to the first 64 KiB of random ranges of 4 MiB: median and 99th percentile."""
    chance = np.random.default_rng(11)
    times = []
    with GeneratedCar(Outline(outline_path), open_source(os.fsencode(path)), cache=_LEAF) as car:
        first = memoryview(bytearray(64 << 10))
        for at in chance.integers(0, max(1, car.size - _RANGE), count).tolist():
            with Clock() as clock:
                car.read_into(at, first)
            times.append(clock.wall * 1000)
    return {"median": float(np.median(times)), "high": float(np.percentile(times, 99))}


def opening(folder: str, count: int, size: int = 4096) -> dict[str, Any]:
    """Job: the outline of `count` made-up files written and opened; seconds, and bytes for each file."""
    builder = ItemsBuilder()
    for k in range(count):
        builder.add(b"folder-%05d\x00file-%07d.json" % (k // 500, k), Kind.FILE, size)
    items = builder.build()
    tokens = 1_700_000_000_000_000_000 + np.random.default_rng(5).integers(0, 10**15, count)
    layout = compute_layout(items)
    digests = np.random.default_rng(6).integers(0, 256, (len(layout), 32), dtype=np.uint8)
    path = os.path.join(folder, "x.outline")
    inputs = Inputs(PosixSource(b"/nowhere"), items, Stamps(items.sizes, tokens), {})
    with Clock() as writing:
        write_outline(path, layout, inputs, digests)
    with Clock() as clock:
        GeneratedCar(Outline(path), PosixSource(b"/nowhere")).close()
    outline_size = os.path.getsize(path)
    os.unlink(path)
    return clock.answer(writing=writing.wall, each=outline_size / count)


def measure(bench: Bench) -> Section:
    """The benchmark."""
    section = Section("CARs that are generated", ("what", "GB/s", "CPU s/GB", "peak RSS MiB"))
    size = bench.size(2 << 30, 256 << 20, 9 << 20)
    count = bench.size(100_000, 10_000, 300)
    big = big_file(bench.folder / "big.bin", size)
    many = small_files(bench.folder / "many", count)
    _builds(bench, section, big, size)
    made = {}
    for name, path in (("one big file", big), (f"{count} files of 4 KiB", many)):
        made[name] = job("generate.outline", path=str(path), out=str(bench.staging())).value
        each = made[name]["size"] / (made[name]["blocks"] if path is big else count)
        section.notes.append(f"Outline of {name}: {each:.1f} bytes a {'block' if path is big else 'file'}")
    _reads(
        bench,
        section,
        {name: (str(made[name]["path"]), path) for name, path in zip(made, (big, many), strict=True)},
    )
    found = job(
        "generate.ranges",
        outline_path=made["one big file"]["path"],
        path=str(big),
        count=bench.size(500, 200, 5),
    )
    median, high = found.number("median"), found.number("high")
    section.notes.append(f"First bytes of random ranges of 4 MiB: median {median:.2f} ms, 99 % {high:.2f} ms")
    files = bench.size(1_000_000, 1_000_000, 2000)
    opened = job("generate.opening", folder=str(bench.staging()), count=files)
    section.target(
        f"opening the outline of {files} files of 4 KiB",
        opened.number("work_wall") * 1000,
        50,
        most=True,
        unit=" ms",
    )
    section.target("its bytes a file", opened.number("each"), 160, most=True)
    _space(bench, section)
    return section


def _space(bench: Bench, section: Section) -> None:
    """What a PiB of files of 100 MiB takes beside the source, from one CAR of them and a small catalog."""
    large = 100 << 20
    outlines = job("generate.opening", folder=str(bench.staging()), count=300, size=large).number("each")
    count = bench.size(200_000, 20_000, 300)
    database = bench.folder / "space.db"
    job("lookup.make", url=f"sqlite:///{database}", count=count, sample=str(bench.folder / "sample"))
    rows = os.path.getsize(database) / count
    files = (1 << 50) / large
    section.notes.append(
        f"Of a file of 100 MiB: {outlines:,.0f} bytes of outline, {rows:,.0f} bytes in the catalog (SQLite, "
        f"with its indexes)"
    )
    section.target(
        "catalog and outlines of a PiB of such files",
        files * (outlines + rows) / (1 << 30),
        70,
        most=True,
        unit=" GiB",
    )


def _builds(bench: Bench, section: Section, big: Path, size: int) -> None:
    """The same build with a file in memory, on disk, and with none."""
    warm(big)
    with tempfile.TemporaryDirectory(dir=_memory_folder(bench, size)) as memory:
        runs: dict[str, Run] = {
            "build, outline only": partial(job, "generate.outline", path=str(big), out=str(bench.staging())),
            "build, CAR in memory": partial(job, "builds.build", path=str(big), out=memory, sha256=False),
            "build, CAR synced": partial(
                job, "builds.build", path=str(big), out=str(bench.staging()), sha256=False
            ),
        }
        found = alternate(runs, bench.repeat)
    cold = {f"{name}, cold": runs[name] for name in ("build, outline only", "build, CAR synced")}
    found |= alternate(cold, bench.repeat, before=partial(chill, big))
    for name, samples in found.items():
        _row(section, name, samples, size, "build")
    section.same("piece CID", {name: str(of[0].value["piece"]) for name, of in found.items()})
    for end in ("", ", cold"):
        wall = _ratio(section, found, f"build, outline only{end}", f"build, CAR synced{end}", "build")
        least = 1.2 if end else 1.1
        section.target(f"outline only against a staged CAR, wall time{end or ', hot'}", wall, least)


def _reads(bench: Bench, section: Section, made: dict[str, tuple[str, Path]]) -> None:
    """Reading generated CARs of cached files, beside the floor."""
    big = next(path for _, path in made.values() if path.is_file())
    warm(big)
    runs: dict[str, Run] = {"floor: read and hash": partial(job, "generate.floor", path=str(big))}
    for name, (place, path) in made.items():
        for step in (_STEP, 64 << 10):
            label = f"{mib(step)} MiB" if step >= _LEAF else f"{step >> 10} KiB"
            runs[f"read {name}, {label} at once"] = partial(
                job, "generate.read", outline_path=place, path=str(path), step=step
            )
    found = alternate(runs, bench.repeat)
    for name, samples in found.items():
        _row(section, name, samples, int(samples[0].number("bytes")), "work")
    for name in found:
        if "big" in name:
            _ratio(section, found, name, "floor: read and hash", "work")


def _row(section: Section, name: str, samples: list[Sample], size: int, part: str) -> None:
    speed = spread(samples, lambda s: size / s.number(f"{part}_wall") / 1e9)
    cpu = spread(samples, lambda s: s.number(f"{part}_cpu") / size * 1e9)
    section.row(name, speed.text(), cpu.text(), mib(spread(samples, "rss").median))


def _ratio(
    section: Section,
    found: dict[str, list[Sample]],
    one: str,
    other: str,
    part: str,
) -> float:
    """A note of how the rate of one compares with another's, by CPU and by wall time; the latter."""
    rates = []
    for key in ("cpu", "wall"):
        seconds = [spread(found[name], f"{part}_{key}").median for name in (one, other)]
        rates.append(seconds[1] / seconds[0])
    section.notes.append(
        f"Rate of `{one}` against `{other}`: {rates[0]:.2f} by CPU, {rates[1]:.2f} by wall time"
    )
    return rates[1]
