"""Verification of a CAR: how near its reader comes to hashlib, warm and cold, with the CAR's sha256 and without."""

from functools import partial
from pathlib import Path
from typing import Any

from bench.builds import keep
from bench.data import Bench, big_file, chill, small_files, warm
from bench.jobs import Clock
from bench.measure import Run, alternate, job, spread
from bench.report import Section, mib
from ptolemy_core.reader.verify import verify_car


def verify(path: str, sha256: bool) -> dict[str, Any]:
    """Job: every block, the DAG and the piece commitment of one CAR, on all cores."""
    with Clock() as clock:
        report = verify_car(path, sha256=sha256)
    return clock.answer(ok=report.ok, blocks=report.blocks)


def measure(bench: Bench) -> Section:
    """The benchmark: a CAR of one big file, and one of many small files."""
    size = bench.size(1 << 30, 128 << 20, 9 << 20)
    count = bench.size(100_000, 5_000, 300)
    section = Section(
        "Verification of a CAR, all cores", ("CAR", "GB/s", "CPU s/GB", "against hashlib", "peak RSS MiB")
    )
    cars = bench.folder / "cars"
    cars.mkdir()
    made: dict[str, Path] = {}
    for name, source in (
        (f"one file of {mib(size)} MiB", big_file(bench.folder / "big.bin", size)),
        (f"{count} files of 4 KiB", small_files(bench.folder / "many", count)),
    ):
        made[name] = cars / f"{len(made)}.car"
        keep(str(source), str(cars), made[name].name)
    floor: dict[str, Run] = {"hashlib": partial(job, "floors.sha256", size=size, threads=1)}
    reference = spread(alternate(floor, bench.repeat)["hashlib"], "rate")
    section.row("hashlib SHA-256 of 1 MiB", reference.text(), "", "1.00", "")
    for name, path in made.items():
        car_size = path.stat().st_size
        check = partial(job, "verify.verify", path=str(path))
        runs: dict[str, Run] = {
            name: partial(check, sha256=False),
            f"{name}, its sha256 too": partial(check, sha256=True),
        }
        warm(path)
        _rows(section, alternate(runs, bench.repeat), car_size, reference.median)
        cold = {f"{label}, cold": run for label, run in runs.items()}
        _rows(section, alternate(cold, bench.repeat, before=partial(chill, path)), car_size, reference.median)
    section.notes.append(
        "`ptolemy verify` reads as many CARs at once as there are cores; the threads that hash serve them all."
    )
    return section


def _rows(section: Section, samples: dict[str, Any], size: int, reference: float) -> None:
    for name, of in samples.items():
        speed = spread(of, lambda s: size / s.number("work_wall") / 1e9)
        cpu = spread(of, lambda s: s.number("work_cpu") / size * 1e9)
        section.row(
            name, speed.text(), cpu.text(2), f"{speed.median / reference:.2f}", mib(spread(of, "rss").median)
        )
        if not all(sample.value["ok"] for sample in of):
            section.wrong.append(f"{name}: the CAR was found wrong")
