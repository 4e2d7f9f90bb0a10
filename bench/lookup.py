"""Look-ups in a catalog of many files: milliseconds of each kind, on SQLite and, where one is given, on Postgres."""

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from bench import data
from bench.data import Bench
from bench.jobs import Clock
from bench.measure import Spread, job
from bench.plan import items as photos
from bench.report import Section, mib
from ptolemy_core import commp
from ptolemy_core.catalog import bulk, container_plan, find, projects
from ptolemy_core.catalog.container_plan import PlannedItems
from ptolemy_core.catalog.schema import built_shard, car, container, file, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.layout import HEADER_SIZE, WHOLE, item_extents
from ptolemy_core.layout import plan as planning
from ptolemy_core.project import Project
from ptolemy_core.tree import paths

PG_URL = "PTOLEMY_BENCH_PG_URL"
"""The environment variable with the URL of an empty Postgres database to measure in."""

_BATCH = 100_000
_SAMPLE = 1000
_LIMIT = 100
_SHARED = 100
"""Of the whole files, every so manieth has one and the same CID, as empty files have."""

_FILE = ("id", "project", "path", "kind", "size", "mtime", "first_scan", "cid")
_BUILT = ("container_id", "position", "cid", "car_offset")


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _cid(row: int, shared: bool) -> bytes:
    return cid.of_digest(cid.RAW, _digest("shared" if shared else row))


def make(url: str, count: int, sample: str) -> dict[str, Any]:
    """Job: a catalog of `count` files, all of them planned and built; the data is made up, the plan is real.

    Indexes are made at the end, and what a look-up should find goes to the file `sample`.
    """
    catalog = Catalog(url)
    with catalog.write() as connection:
        settings = Project(name="bench", target_dir="/bench/in", staging_dir="/bench/out")
        row = settings.model_dump() | {"created_at": time.time()}
        connection.execute(projects.table.insert().values(row))
        times = {"started_at": time.time(), "finished_at": time.time()}
        connection.execute(scan.insert().values(id=1, project="bench", **times))
        indexes = [index for table in (file, shard, built_shard) for index in table.indexes]
        for index in indexes:
            index.drop(connection)
    with Clock() as clock:
        wanted = _fill(catalog, count)
        with catalog.write() as connection:
            for index in indexes:
                index.create(connection)
        if catalog.is_postgres:
            with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sa.text("VACUUM ANALYZE"))
    Path(sample).write_text(json.dumps(wanted), encoding="ascii")
    catalog.engine.dispose()
    return clock.answer()


def _fill(catalog: Catalog, count: int) -> list[dict[str, Any]]:
    files = photos(count)
    for low in range(0, count, _BATCH):
        part = slice(low, min(low + _BATCH, count))
        sizes = files.sizes[part].tolist()
        with catalog.write() as connection:
            rows = zip(
                range(part.start + 1, part.stop + 1),
                itertools.repeat("bench"),
                files.paths[part],
                itertools.repeat(0),
                sizes,
                itertools.repeat(1_700_000_000_000_000_000),
                itertools.repeat(1),
                (
                    cid.of_digest(cid.DAG_PB, _digest("file", k)) if size > UNIXFS_V1_2025.size_unit else None
                    for k, size in enumerate(sizes, part.start)
                ),
                strict=False,
            )
            bulk.insert(connection, file, _FILE, rows)
    items, origin = planning.split(files, UNIXFS_V1_2025.size_unit)
    planned = planning.plan(items, 31 * UNIXFS_V1_2025.size_unit)
    spans = item_extents(items.kinds, items.sizes, UNIXFS_V1_2025).span
    chosen = np.sort(np.random.default_rng(3).choice(len(items), min(_SAMPLE, len(items)), replace=False))
    wanted = []
    for number, one in enumerate(planned):
        part = slice(one.start, one.stop)
        with catalog.write() as connection:
            container_plan.save(connection, "bench", [one], [PlannedItems(items[part], origin[part] + 1)])
            key = connection.scalar(sa.select(container.c.id).where(container.c.number == number))
            offsets = HEADER_SIZE + np.cumsum(spans[part]) - spans[part]
            cids = [
                _cid(row, shard_number == WHOLE and row % _SHARED == 0)
                for row, shard_number in enumerate(items.shards[part].tolist(), one.start)
            ]
            root = _digest("piece", number)[:31] + b"\0"
            names = {
                "payload_cid": cid.of_digest(cid.DAG_PB, _digest("car", number)),
                "piece_cid_v1": commp.piece_cid_v1(root),
                "piece_cid_v2": commp.piece_cid_v2(root, one.car_size),
            }
            sizes = {"car_size": one.car_size, "piece_size": one.piece_size}
            receipt = {"container_id": key, "file_name": "x.car", "built_at": 0.0, "build_seconds": 1.0}
            connection.execute(car.insert().values(receipt | names | sizes))
            rows = zip(itertools.repeat(key), range(len(cids)), cids, offsets.tolist(), strict=False)
            bulk.insert(connection, built_shard, _BUILT, rows)
        for row in chosen[(chosen >= one.start) & (chosen < one.stop)].tolist():
            at = row - one.start
            wanted.append(
                {
                    "path": paths.display(items.paths[row]),
                    "cid": cid.to_text(cids[at]),
                    "shared": cids[at] == _cid(0, True),
                    "container": number,
                    "car_offset": int(offsets[at]),
                    "shard": None if items.shards[row] == WHOLE else int(items.shards[row]),
                    "file_cid": cid.to_text(cid.of_digest(cid.DAG_PB, _digest("file", int(origin[row])))),
                }
                | {name: cid.to_text(binary) for name, binary in names.items()}
            )
    return wanted


_Kind = tuple[str, Callable[[dict[str, Any]], Iterator[find.Found]], Callable[[dict[str, Any]], bool]]


def _kinds(catalog: Catalog) -> list[_Kind]:
    """Name, look-up, and whether a sample can be looked up so."""

    def folder(one: dict[str, Any]) -> str:
        return str(one["path"]).rpartition("/")[0]

    def above(one: dict[str, Any]) -> str:
        return str(one["path"]).rpartition("/")[0].rpartition("/")[0]

    def by_cid(key: str) -> Callable[[dict[str, Any]], Iterator[find.Found]]:
        return lambda one: find.find_cid(catalog, one[key])

    def own(one: dict[str, Any]) -> bool:
        return not one["shared"]

    def every(one: dict[str, Any]) -> bool:
        return True

    return [
        ("path", lambda one: find.find_path(catalog, one["path"], "bench"), every),
        ("path, any project", lambda one: find.find_path(catalog, one["path"]), every),
        ("path that isn't there", lambda one: find.find_path(catalog, one["path"] + "~", "bench"), every),
        ("folder of 250 files", lambda one: find.find_path(catalog, folder(one), "bench"), every),
        ("prefix, 10 files", lambda one: find.find_prefix(catalog, one["path"][:-5], "bench"), every),
        ("glob in a folder, 25 files", lambda one: find.find_glob(catalog, folder(one) + "/*7.jpg"), every),
        ("glob below a folder", lambda one: find.find_glob(catalog, above(one) + "/**/*99.jpg"), every),
        ("file or shard CID", by_cid("cid"), own),
        ("CID of 1% of all files", by_cid("cid"), lambda one: bool(one["shared"])),
        ("CID of a split file", by_cid("file_cid"), lambda one: one["shard"] is not None),
        ("CID that isn't there", lambda one: find.find_cid(catalog, _missing(one)), every),
        ("payload CID", by_cid("payload_cid"), every),
        ("piece CID v1", by_cid("piece_cid_v1"), every),
        ("piece CID v2", by_cid("piece_cid_v2"), every),
    ]


def _missing(one: dict[str, Any]) -> str:
    return cid.to_text(cid.of_digest(cid.RAW, _digest("missing", one["path"])))


def look_up(url: str, sample: str, only: str | None = None) -> dict[str, Any]:
    """Job: each kind of look-up for each of the sample, and how many answers were wrong."""
    catalog = Catalog(url)
    wanted = json.loads(Path(sample).read_text(encoding="ascii"))
    order = np.random.default_rng(5).permutation(len(wanted)).tolist()
    times: dict[str, list[float]] = {}
    found: dict[str, float] = {}
    wrong = 0
    for name, ask, fits in _kinds(catalog):
        fitting = [wanted[k] for k in order if fits(wanted[k])]
        if not fitting or (only and name != only):
            continue
        if not only:
            list(itertools.islice(ask(fitting[0]), _LIMIT))  # the statement is compiled once in a process
        counts = []
        for one in fitting:
            started = time.perf_counter()
            answer = list(itertools.islice(ask(one), _LIMIT))
            times.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            counts.append(len(answer))
            wrong += not _right(name, one, answer)
        found[name] = float(np.median(counts))
    catalog.engine.dispose()
    quantiles = {name: (float(np.median(ms)), float(np.quantile(ms, 0.99))) for name, ms in times.items()}
    return {"ms": quantiles, "found": found, "wrong": wrong, "asked": {k: len(ms) for k, ms in times.items()}}


def _right(name: str, one: dict[str, Any], answer: list[find.Found]) -> bool:
    """Whether an answer is what was put in; where it may be cut, whether it is of the kind."""
    if "isn't there" in name:
        return not answer
    if name in ("path", "path, any project", "file or shard CID"):
        keys = ("path", "cid", "container", "car_offset", "shard", "payload_cid")
        return any(all(getattr(got, key) == one[key] for key in keys) for got in answer)
    if name == "CID of a split file":
        return {got.path for got in answer} == {one["path"]}
    if name == "CID of 1% of all files":
        return {got.cid for got in answer} == {one["cid"]}
    if name.startswith(("payload", "piece")):
        return {got.container for got in answer} == {one["container"]}
    return bool(answer)


def measure(bench: Bench) -> list[Section]:
    """The benchmark."""
    count = bench.size(10_000_000, 200_000, 2_000)
    place = bench.folder / "catalog"
    place.mkdir()
    out = [_measure(bench, f"sqlite:///{place}/catalog.db", "SQLite", count)]
    if os.environ.get(PG_URL):
        rest = os.environ[PG_URL].partition("://")[2]
        out.append(_measure(bench, f"postgresql+psycopg2://{rest}", "Postgres", count))
    else:
        out[0].notes.append(f"Not measured: Postgres ({PG_URL} isn't set)")
    return out


def _measure(bench: Bench, url: str, name: str, count: int) -> Section:
    section = Section(
        f"Look-up in a catalog of {count} files on {name}",
        ("look-up", "median ms", "p99 ms", "found", "asked"),
    )
    sample = str(bench.folder / "sample.json")
    made = job("lookup.make", url=url, count=count, sample=sample)
    answer = job("lookup.look_up", url=url, sample=sample).value
    for kind, (median, p99) in answer["ms"].items():
        cells = (f"{median:.2f}", f"{p99:.2f}", f"{answer['found'][kind]:.0f}", str(answer["asked"][kind]))
        section.row(kind, *cells)
    section.notes.append(
        f"At most {_LIMIT} answers are taken. Made in {made.number('work_wall'):.0f} s, indexes last."
    )
    if name == "SQLite":
        place = Path(url.removeprefix("sqlite:///"))
        size = sum(entry.stat().st_size for entry in place.parent.iterdir() if entry.is_file())
        section.notes.append(f"The catalog has {mib(size)} MiB, {size / count:.0f} bytes a file.")
        if data.chill(place):
            cold = job("lookup.look_up", url=url, sample=sample, only="path").value["ms"]["path"]
            section.notes.append(
                f"Paths with an empty page cache: median {cold[0]:.2f} ms, p99 {cold[1]:.2f} ms."
            )
    worst = Spread(tuple(median for median, _ in answer["ms"].values())).values
    if bench.full:
        section.target("slowest median", max(worst), 100, most=True, unit=" ms")
    if answer["wrong"]:
        section.wrong.append(f"{answer['wrong']} look-ups on {name} found something else than was put in")
    return section
