"""Stages whose cost is rows of the catalog alone: a project of made-up files in SQLite, none of which is on a disk.

The rows go in in bulk. Then an unchanged rescan, whose entries come from a lister of this module's own, the plan,
look-ups, and what `status` asks for are measured, each in a process of its own.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.data import Bench
from bench.jobs import Clock
from bench.measure import Sample, job
from bench.report import Section, mib
from ptolemy_core.catalog import bulk, find
from ptolemy_core.catalog.schema import file, project, scan
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.garbage import fewer_collections
from ptolemy_core.project import Project
from ptolemy_core.source.filesystem import FileSystem, Mounts
from ptolemy_core.source.protocol import BATCH, Entry
from ptolemy_core.stages import containerize as planning
from ptolemy_core.stages import scan as scanning
from ptolemy_core.status.state import project_state, project_states

_PER_FOLDER = 250
_CHUNK = 10_000
_FILL = 200_000
_MEDIAN, _SIGMA = 40_000, 2.2
_MTIME = 1_700_000_000_000_000_000
_ASKED = 200
_LIMIT = 100
_NAME = "bench"
_COLUMNS = ("path", "kind", "size", "mtime")
_MOUNTS = Mounts(FileSystem("bench"), 0, 1, {})


def _path(number: int) -> bytes:
    folder = number // _PER_FOLDER
    return (
        f"{1990 + folder // 4000:04d}\0{folder // 100:06d}\0roll-{folder % 100:02d}\0IMG_{number:09d}.jpg"
    ).encode()


def entries(count: int) -> Iterator[Entry]:
    """Files of a photo archive in path order: 250 in a folder, sizes log-normal, a few above 1 GiB."""
    for low in range(0, count, _CHUNK):
        size = min(_CHUNK, count - low)
        random = np.random.default_rng((7, low))
        sizes = np.minimum(random.lognormal(np.log(_MEDIAN), _SIGMA, size), 5e9).astype(np.int64).tolist()
        for number, length in enumerate(sizes, low):
            yield Entry(_path(number), 0, length, _MTIME)


class _Lister:
    """A target that has made-up entries, and nothing else."""

    def __init__(self, count: int) -> None:
        self._count = count

    def mounts(self) -> Mounts:
        return _MOUNTS

    def entries(self, *_: object, **__: object) -> Iterator[list[Entry]]:
        waiting = entries(self._count)
        while batch := list(itertools.islice(waiting, BATCH)):
            yield batch


def fill(folder: str, count: int) -> dict[str, Any]:
    """Job: a catalog with one finished scan of `count` files."""
    catalog = _open(folder)
    (Path(folder) / "out").mkdir()
    settings = Project(name=_NAME, target_dir=f"{folder}/in", staging_dir=f"{folder}/out")
    times = {"started_at": time.time(), "finished_at": time.time(), "mounts": json.dumps(_MOUNTS.as_json())}
    with catalog.write() as connection:
        connection.execute(project.insert().values(settings.model_dump() | {"created_at": time.time()}))
        connection.execute(scan.insert().values(id=1, project=_NAME, **times))
    waiting = entries(count)
    with Clock() as clock:
        while batch := list(itertools.islice(waiting, _FILL)):
            with catalog.write() as connection:
                rows = (entry[:4] for entry in batch)
                bulk.insert(connection, file, _COLUMNS, rows, {"project": _NAME, "first_scan": 1})
    return _closed(catalog, clock)


def list_all(count: int) -> dict[str, Any]:
    """Job: the lister alone."""
    with Clock() as clock:
        found = sum(len(batch) for batch in _Lister(count).entries())
    return clock.answer(found=found)


def rescan(folder: str, count: int) -> dict[str, Any]:
    """Job: a scan that finds everything as it was."""
    catalog = _open(folder)
    with (
        fewer_collections(),
        patch.object(scanning, "open_target", lambda *_: _Lister(count)),
        Clock() as clock,
    ):
        result = scanning.scan(catalog, _NAME)
    return _closed(catalog, clock, found=result.files, news=result.added + result.changed + result.gone)


def plan(folder: str) -> dict[str, Any]:
    """Job: the plan of all files, written to the catalog."""
    catalog = _open(folder)
    with fewer_collections(), Clock() as clock:
        result = planning.containerize(catalog, _NAME)
    return _closed(catalog, clock, containers=result.new, items=sum(row.items for row in result.containers))


def look_up(folder: str, count: int) -> dict[str, Any]:
    """Job: milliseconds of look-ups, and of what `status` asks for."""
    catalog = _open(folder)
    chosen = np.random.default_rng(5).choice(count, min(_ASKED, count), replace=False).tolist()
    names = [_path(number).replace(b"\0", b"/").decode() for number in chosen]
    times: dict[str, list[float]] = {}
    wrong = 0
    with Clock() as clock:
        for name in names:
            folder_name = name.rpartition("/")[0]
            asked = {
                "path": partial(find.find_path, catalog, name),
                "folder of 250 files": partial(find.find_path, catalog, folder_name),
                "prefix, 10 files": partial(find.find_prefix, catalog, name[:-5]),
            }
            for kind, ask in asked.items():
                started = time.perf_counter()
                answer = list(itertools.islice(ask(_NAME), _LIMIT))
                times.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
                wrong += not answer or (kind == "path" and answer[0].path != name)
        states: dict[str, Callable[[], object]] = {
            "status of the project": lambda: project_state(catalog, _NAME),
            "status of all projects": lambda: project_states(catalog, [_NAME]),
        }
        for kind, ask_state in states.items():
            for _ in range(3):
                started = time.perf_counter()
                ask_state()
                times.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
    found = {kind: (float(np.median(ms)), max(ms)) for kind, ms in times.items()}
    return _closed(catalog, clock, ms=found, wrong=wrong)


def _open(folder: str) -> Catalog:
    os.environ["PTOLEMY_HOME"] = folder
    return Catalog(f"sqlite:///{folder}/catalog.db")


def _closed(catalog: Catalog, clock: Clock, **more: Any) -> dict[str, Any]:
    catalog.engine.dispose()
    return clock.answer(**more)


def measure(bench: Bench) -> Section:
    """The benchmark."""
    count = bench.rows or bench.size(10_000_000, 1_000_000, 2_000)
    folder = str(bench.folder)
    section = Section(
        f"Catalog of {count} files in SQLite", ("what", "wall s", "CPU s", "us/file", "peak RSS MiB")
    )
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "rows written in bulk": ("fill", {"folder": folder, "count": count}),
        "the lister alone": ("list_all", {"count": count}),
        "unchanged rescan, lister included": ("rescan", {"folder": folder, "count": count}),
        "look-ups and status, nothing planned": ("look_up", {"folder": folder, "count": count}),
        "containerize": ("plan", {"folder": folder}),
        "look-ups and status, planned": ("look_up", {"folder": folder, "count": count}),
    }
    for what, (name, arguments) in jobs.items():
        try:
            sample = job(f"rows.{name}", **arguments)
        except RuntimeError as error:  # as when memory is short: the others are measured still
            section.wrong.append(f"{what}: {error}")
            continue
        print(f"{what}: {json.dumps(sample.value)}", file=sys.stderr, flush=True)
        _report(section, what, count, sample)
    size = sum(entry.stat().st_size for entry in bench.folder.iterdir() if entry.is_file())
    section.notes.append(f"The catalog has {mib(size)} MiB, {size / count:.0f} bytes a file.")
    return section


def _report(section: Section, what: str, count: int, sample: Sample) -> None:
    wall, value = sample.number("work_wall"), sample.value
    each = "" if "ms" in value else f"{wall / count * 1e6:.2f}"
    section.row(what, f"{wall:.1f}", f"{sample.number('work_cpu'):.1f}", each, mib(sample.rss))
    for kind, (median, worst) in value.get("ms", {}).items():
        section.notes.append(f"{what}, {kind}: median {median:.1f} ms, worst {worst:.1f} ms")
    if "containers" in value:
        section.notes.append(f"{value['containers']} containers")
    if value.get("found", count) != count or value.get("news") or value.get("wrong"):
        section.wrong.append(f"{what}: it found something else than was put in: {value}")
    if value.get("items", count) < count:
        section.wrong.append(f"{what}: the plan doesn't cover all files")
