"""One big file: how near the build comes to what the two cores and the disk allow.

The limit in memory is the sum of what no build can do without, each at this run's own speed with all cores busy:
one copy in, leaf hashes, commitment, one copy out, and the CAR's SHA-256 (one stream) where it is asked for.
"""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench import floors, peers
from bench.data import Bench, big_file, can_hold, chill, clear, warm
from bench.kernel import COMMITMENT, LEAVES
from bench.machine import cores
from bench.measure import Run, Sample, alternate, job, spread
from bench.report import Section, mib

_MEMORY = "/dev/shm"


def limits(bench: Bench, section: Section) -> dict[bool, float]:
    """GB/s that the cores allow, without and with the CAR's SHA-256; the parts go into the notes."""
    size = bench.size(1 << 30, 256 << 20, 16 << 20)
    threads = cores()
    every: dict[str, Run] = {
        "copy": partial(job, "floors.memcpy", size=size, threads=threads),
        "leaf hashes": partial(job, "kernel.on_all_cores", what=LEAVES, size=size, threads=threads),
        "commitment": partial(job, "kernel.on_all_cores", what=COMMITMENT, size=size, threads=threads),
        "sha256": partial(job, "floors.sha256", size=size, threads=1),
    }
    found = {name: spread(of, "rate") for name, of in alternate(every, bench.repeat).items()}
    rate = {name: of.median for name, of in found.items()}
    parts = ", ".join(f"{name} {of.text(2)}" for name, of in found.items())
    section.notes.append(f"GB/s with a thread on each of {threads} cores (sha256: one thread): {parts}")
    without = 2 / rate["copy"] + 1 / rate["leaf hashes"] + 1 / rate["commitment"]
    with_sha256 = without + 1 / rate["sha256"] / threads
    section.notes.append(
        f"Limit of the cores: {1 / without:.3f} GB/s, {without * threads:.3f} CPU s/GB; "
        f"with sha256 {1 / with_sha256:.3f} GB/s, {with_sha256 * threads:.3f} CPU s/GB"
    )
    return {False: 1 / without, True: 1 / with_sha256}


def measure(bench: Bench) -> Section:
    """The benchmark."""
    section = Section(
        "One big file: CAR, payload CID, piece CIDs v1 and v2",
        ("build", "GB/s", "limit", "achieved : limit", "CPU s/GB", "peak RSS MiB"),
    )
    limit = limits(bench, section)
    size = bench.size(2 << 30, 128 << 20, 9 << 20)
    disk = _disk_limits(bench, section)
    path = big_file(bench.folder / "big.bin", size)
    warm(path)
    with tempfile.TemporaryDirectory(dir=_memory_folder(bench, size)) as memory:
        hot = alternate(_runs(path, Path(memory), "cached input, output in memory"), bench.repeat)
        section.notes.append(_memory_write(bench, Path(memory)))
    hot |= alternate(_runs(path, bench.staging(), "cached input, synced output"), bench.repeat)
    cold_runs = _runs(path, bench.staging(), "cold input, synced output")
    cold = alternate(cold_runs, bench.repeat, before=partial(chill, path))
    for name, samples in (hot | cold).items():
        bound = limit["sha256" in name]
        if "synced" in name:
            bound = min(bound, disk["both" if "cold" in name else "write"])
        _row(section, name, samples, size, bound)
    _agree(bench, section, path, hot | cold)
    path.unlink()
    return section


def _memory_folder(bench: Bench, size: int) -> str:
    """A folder in memory, where there is one with room; the data's folder otherwise."""
    if os.path.isdir(_MEMORY) and shutil.disk_usage(_MEMORY).free > size + size // 8 + (128 << 20):
        return _MEMORY
    return str(bench.folder)


def _memory_write(bench: Bench, memory: Path) -> str:
    """The note on what the system takes for a new file in memory, of which the limit counts the copy alone."""
    size = bench.size(1 << 30, 256 << 20, 16 << 20)
    write = partial(job, "floors.write_file", path=str(memory / "floor.out"), size=size)
    cpu = spread(
        alternate({"write": write}, bench.repeat)["write"], lambda s: s.number("work_cpu") / size * 1e9
    )
    return f"A new file in memory takes the system {cpu.text()} CPU s/GB; the limit counts one copy of it"


def _runs(path: Path, out: Path, name: str) -> dict[str, Run]:
    common: dict[str, Any] = {"path": str(path), "out": str(out)}
    return {
        f"{name}, sha256": partial(job, "builds.build", **common, sha256=True),
        name: partial(job, "builds.build", **common, sha256=False),
    }


def _disk_limits(bench: Bench, section: Section) -> dict[str, float]:
    """GB/s of the disk: writing, and reading and writing at once; the better of buffered and O_DIRECT."""
    found = floors.disk(bench, bench.size(1 << 30, 256 << 20, 8 << 20))
    rate = {name: spread(of, "rate").median for name, of in found.items()}
    best = {
        "write": max(of for name, of in rate.items() if "disk write" in name),
        "both": max(of for name, of in rate.items() if "at once" in name),
    }
    section.notes.append(
        f"Disk: write + fdatasync {best['write']:.2f} GB/s, read and write at once {best['both']:.2f} GB/s"
    )
    return best


def _row(section: Section, name: str, samples: list[Sample], size: int, bound: float) -> None:
    speed = spread(samples, lambda s: size / s.number("build_wall") / 1e9)
    cpu = spread(samples, lambda s: s.number("build_cpu") / size * 1e9)
    rss = mib(spread(samples, "rss").median)
    ratio = f"{speed.median / bound:.2f}"
    section.row(name, speed.text(), f"{bound:.3f}", ratio, cpu.text(), rss)


def _agree(bench: Bench, section: Section, path: Path, built: dict[str, list[Sample]]) -> None:
    """All builds alike, the CID of the file alone alike, and the Go library's commitment of the CAR alike."""
    samples = [sample for of in built.values() for sample in of]
    pieces = {f"build {k}": str(sample.value["piece"]) for k, sample in enumerate(samples)}
    if len(set(pieces.values())) > 1:
        section.same("piece CIDs", pieces)
    alone = job("builds.root", path=str(path))
    section.same(
        "payload CID",
        {f"{len(samples)} builds": str(samples[0].value["root"]), "root_cid": alone.value["root"]},
    )
    tool = peers.find("hashhash")
    if tool and can_hold(bench.folder, path.stat().st_size):
        kept = job("builds.keep", path=str(path), out=str(bench.staging()), name="kept.car")
        theirs = peers.run_tool([tool], stdin=str(bench.staging() / "kept.car")).text.strip()
        mine = f"{kept.value['piece'][-64:]} {kept.value['piece_size']}"
        section.same("piece commitment of the CAR", {"ptolemy": mine, "go-fil-commp-hashhash": theirs})
        clear(bench.staging())
