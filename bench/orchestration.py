"""What Dagster itself costs for each CAR: jobs on projects of tiny containers, beside the engine alone."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.data import Bench, small_files
from bench.jobs import Clock
from bench.machine import cores
from bench.measure import job
from bench.report import Section, mib

EVENTS_ONLY = "BENCH_EVENTS_ONLY"
"""See `bench.tiny`."""

_SAMPLE = 0.5
_HEAD = ("job", "wall s", "ms a CAR", "CPU s of the first process", "peak RSS MiB, all processes")
_JOBS = ("scan", "containerize", "blitz")


def measure(bench: Bench) -> list[Section]:
    """The benchmark, on SQLite and, where the tests' Postgres is installed, on Postgres."""
    counts = (4,) if bench.toy else (10, 1000)
    sections = [_measure(bench, "SQLite", count, None) for count in counts]
    return sections + [_with_postgres(bench, count, _measure) for count in counts]


def hundred_thousand(bench: Bench) -> list[Section]:
    """100,000 CARs on both; nothing is built, so what is measured is Dagster's cost alone."""
    count = bench.size(100_000, 10_000, 100)
    return [_unbuilt(bench, "SQLite", count, None), _with_postgres(bench, count, _unbuilt)]


_Measure = Callable[[Bench, str, int, str | None], Section]


def _with_postgres(bench: Bench, count: int, measure: _Measure) -> Section:
    try:
        from tests.pipeline import postgres
    except ImportError as error:
        return Section(f"Dagster's cost on Postgres: not measured ({error})", ("",))
    with postgres.running() as server:
        return measure(bench, "Postgres", count, server.database())


def _unbuilt(bench: Bench, storage: str, count: int, url: str | None) -> Section:
    section = Section(f"Dagster's cost of {count} CARs on {storage}, building left out", _HEAD)
    root = bench.folder / f"unbuilt-{storage}-{count}"
    with _home(root, url):
        _define(root, ("dagster",), count)
        for name in ("scan", "containerize", "blitz", "blitz"):
            if name == "blitz" and len(section.rows) == 2:
                job("orchestration.receipts")
                os.environ[EVENTS_ONLY] = "yes"
            wall, cpu, rss = _run_job(name, "dagster", root)
            label = "blitz, nothing to do" if len(section.rows) == 3 else name
            section.row(label, f"{wall:.1f}", f"{1000 * wall / count:.2f}", f"{cpu:.1f}", mib(rss))
            os.environ.pop(EVENTS_ONLY, None)
        counts = job("orchestration.events").value
        section.same("CARs and events", {"planned": str(count), "events": str(counts["events"])})
    return section


def _measure(bench: Bench, storage: str, count: int, url: str | None) -> Section:
    section = Section(f"Dagster's cost of {count} CARs on {storage}", _HEAD)
    root = bench.folder / f"{storage}-{count}"
    with _home(root, url):
        _define(root, ("dagster", "engine"), count)
        walls = {}
        for name in (*_JOBS, "blitz"):
            wall, cpu, rss = _run_job(name, "dagster", root)
            label = "blitz, nothing to do" if name in walls else name
            walls[label] = wall
            section.row(label, f"{wall:.1f}", f"{1000 * wall / count:.1f}", f"{cpu:.1f}", mib(rss))
        alone = job("orchestration.engine", count=count, processes=cores())
        section.row(
            f"engine alone, {cores()} processes",
            f"{alone.number('work_wall'):.1f}",
            f"{1000 * alone.number('work_wall') / count:.1f}",
        )
        cost = 1000 * (walls["blitz"] - alone.number("work_wall")) / count
        section.notes.append(f"Dagster's cost: {cost:.1f} ms a CAR of {count} (blitz less engine alone).")
        section.notes.append(f"A status query takes {1000 * alone.number('status'):.0f} ms.")
        section.same("CARs built", {"dagster": str(alone.value["dagster"]), "engine": str(count)})
    return section


@contextmanager
def _home(root: Path, url: str | None) -> Iterator[None]:
    """A home of Ptolemy below `root`, for this process and those that it starts."""
    changed = {"DAGSTER_HOME": str(root / "home"), "PTOLEMY_PG_URL": url or ""}
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _define(root: Path, names: tuple[str, ...], count: int) -> None:
    """Projects of these names over a folder of `count` files, each a container of its own."""
    from bench.tiny import FILE_BYTES
    from ptolemy_core.catalog import Catalog
    from ptolemy_core.project import parse_project
    from ptolemy_dagster.instance import open_instance
    from ptolemy_dagster.partitions import define

    target = root / "target"
    target.mkdir(parents=True)
    small_files(target, count, FILE_BYTES)
    catalog = Catalog()
    with open_instance() as instance:
        for name in names:
            settings = {"name": name, "target_dir": str(target), "staging_dir": str(root / name)}
            define(catalog, instance, parse_project(settings | {"car_size": 1}))
    catalog.engine.dispose()


def _run_job(name: str, project: str, root: Path) -> tuple[float, float, int]:
    """Seconds of `dagster job execute`, CPU seconds of its own process, and all processes' peak of resident bytes."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "bench.tiny",
        "-j",
        name,
    ]
    command += ["--tags", json.dumps({"dagster/partition": project})]
    started, peak = time.perf_counter(), [0]
    with open(root / f"{name}.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
    if process.returncode:
        reason = (root / f"{name}.log").read_text(errors="replace")[-600:]
        raise RuntimeError(f"job {name} ended with {process.returncode}: {reason}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, peak[0]


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    """Keep the peak of the resident bytes of a process and all below it (pages they share count for each)."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not ended.wait(_SAMPLE):
        below: dict[int, list[int]] = {}
        sizes: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError, ValueError):
                    parts = (entry / "stat").read_text().rpartition(")")[2].split()
                    below.setdefault(int(parts[1]), []).append(int(entry.name))
                    sizes[int(entry.name)] = int(parts[21]) * page
        total, todo = 0, [pid]
        while todo:
            one = todo.pop()
            total += sizes.get(one, 0)
            todo += below.get(one, [])
        peak[0] = max(peak[0], total)


def engine(count: int, processes: int) -> dict[str, Any]:
    """Job: the same CARs by the engine alone; also how many the Dagster job built, and a status query's seconds."""
    import bench.tiny  # noqa: F401
    from ptolemy_core.catalog import Catalog, cars
    from ptolemy_core.stages.containerize import containerize
    from ptolemy_core.stages.scan import scan
    from ptolemy_core.status.state import project_state

    catalog = Catalog()
    scan(catalog, "engine")
    containerize(catalog, "engine")
    with Clock() as clock, ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(partial(_build_some, count, processes), range(processes)):
            pass
    with Clock() as status:
        project_state(catalog, "dagster")
    built = sum(1 for _ in cars.rows(catalog, "dagster"))
    if sum(1 for _ in cars.rows(catalog, "engine")) != count:
        raise RuntimeError(f"the engine didn't build {count} CARs")
    return clock.answer(status=status.wall, dagster=built)


def receipts() -> dict[str, Any]:
    """Job: a receipt for each container of the plan, of CARs that nobody built."""
    from ptolemy_core.catalog import Catalog, bulk, containers
    from ptolemy_core.catalog.schema import car

    catalog = Catalog()
    columns = ("container_id", "file_name", "payload_cid", "piece_cid_v1", "piece_cid_v2")
    columns += ("car_size", "piece_size", "built_at", "build_seconds")

    def row(one: Any) -> tuple[Any, ...]:
        cid = bytes.fromhex("01551220") + one.number.to_bytes(32, "big")
        return (one.id, f"{one.number}.car", cid, cid, cid, one.car_size, one.piece_size, 0.0, 0.0)

    rows = containers.rows(catalog, "dagster")
    with catalog.write() as connection:
        bulk.insert(connection, car, columns, map(row, rows))
    return {"receipts": len(rows)}


def events() -> dict[str, Any]:
    """Job: how many CARs have an event."""
    import dagster as dg

    from ptolemy_dagster.instance import open_instance

    with open_instance() as instance:
        return {"events": len(instance.get_materialized_partitions(dg.AssetKey("car")))}


def _build_some(count: int, processes: int, first: int) -> None:
    from ptolemy_core.car import BuildOptions
    from ptolemy_core.catalog import Catalog
    from ptolemy_core.stages.blitz import Building, build_container

    catalog = Catalog()
    for number in range(first, count, processes):
        build_container(catalog, "engine", number, Building(BuildOptions(threads=2)))
