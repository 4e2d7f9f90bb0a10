"""The scan into a SQLite catalog, beside `find` on the same tree."""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from bench.data import Bench
from bench.jobs import Clock
from bench.measure import Run, alternate, job, run, spread
from bench.report import Section, mib

_LIKELY = ("IMG", "track", "page", "frame", "sample", "export")


def names(path: Path, count: int) -> Path:
    """A tree of `count` empty files: 250 in a folder, 20 folders in a folder."""
    for low in range(0, count, 250):
        number = low // 250
        place = path / f"archive-{number // 20:04d}" / f"{2000 + number % 20}-session"
        place.mkdir(parents=True)
        for k in range(low, min(low + 250, count)):
            name = place / f"{_LIKELY[k % len(_LIKELY)]}_{k:07d}.dat"
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644))
    return path


def scan(folder: str, home: str) -> dict[str, Any]:
    """Job: a first scan into a new catalog, and a second one that finds no news."""
    from ptolemy_core import project as projects
    from ptolemy_core.catalog import projects as table
    from ptolemy_core.catalog.store import Catalog
    from ptolemy_core.garbage import fewer_collections
    from ptolemy_core.stages.scan import scan as scan_stage

    settings = {"name": "bench", "target_dir": folder, "staging_dir": f"{home}/staging"}
    catalog = Catalog(f"sqlite:///{home}/catalog.db")
    table.create(catalog, projects.parse_project(settings))
    with fewer_collections():  # as the pipeline scans
        with Clock() as first:
            found = scan_stage(catalog, "bench")
        with Clock() as second:
            scan_stage(catalog, "bench")
    catalog.engine.dispose()
    size = sum(entry.stat().st_size for entry in Path(home).iterdir() if entry.is_file())
    shutil.rmtree(home)
    return first.answer(files=found.files, again_wall=second.wall, again_cpu=second.cpu, catalog=size)


def walk(folder: str) -> dict[str, Any]:
    """Job: the walk alone, no catalog."""
    from ptolemy_core.source.walk import walk_batches

    with Clock() as clock:
        count = sum(map(len, walk_batches(os.fsencode(folder))))
    return clock.answer(files=count)


def measure(bench: Bench) -> Section:
    """The benchmark."""
    count = bench.size(200_000, 20_000, 500)
    folder = names(bench.folder / "names", count)
    section = Section(
        f"Scan of {count} files", ("what", "wall s", "CPU s", "files/s", "wall : find", "peak RSS MiB")
    )
    runs: dict[str, Run] = {
        "walk alone": partial(job, "scan.walk", folder=str(folder)),
        "scan, new catalog": partial(job, "scan.scan", folder=str(folder), home=str(bench.folder / "home")),
    }
    reference = None
    if shutil.which("find"):
        command = f"find {folder} -printf '%s %T@ %p\\n' > /dev/null"
        run(["sh", "-c", command])  # warms the cache of names
        found = alternate({"find -printf": partial(run, ["sh", "-c", command]), **runs}, bench.repeat)
        of = found.pop("find -printf")
        reference = spread(of, "wall").median
        cells = (spread(of, "wall").text(), spread(of, "cpu").text(), f"{count / reference:.0f}")
        section.row("find -printf", *cells, "1.00")
    else:
        section.notes.append("Not found: find")
        found = alternate(runs, bench.repeat)
    rows = [(name, of, "work_wall", "work_cpu") for name, of in found.items()]
    rows.append(("scan, nothing new", found["scan, new catalog"], "again_wall", "again_cpu"))
    for name, of, wall, cpu in rows:
        seconds = spread(of, wall)
        ratio = f"{seconds.median / reference:.2f}" if reference else ""
        speed = f"{count / seconds.median:.0f}"
        section.row(name, seconds.text(), spread(of, cpu).text(), speed, ratio, mib(spread(of, "rss").median))
    sizes = spread(found["scan, new catalog"], "catalog").median / count
    section.notes.append(
        f"Catalog: {sizes:.0f} bytes a file. Ptolemy's times are without the start of Python."
    )
    for name, of in found.items():
        if of[0].value["files"] != count:
            section.wrong.append(f"{name} found {of[0].value['files']} files of {count}")
    return section
