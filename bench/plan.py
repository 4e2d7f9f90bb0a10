"""The plan of many files, made in memory: time and peak memory of split and plan."""

from functools import partial
from typing import Any

import numpy as np

from bench.data import Bench
from bench.jobs import Clock, peak_rss
from bench.measure import alternate, job, spread
from bench.report import Section, mib
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.layout import Items
from ptolemy_core.layout import plan as planning
from ptolemy_core.layout.items import WHOLE
from ptolemy_core.tree import Kind

_PER_FOLDER = 250
_MEDIAN, _SIGMA = 40_000, 2.2


def items(count: int) -> Items:
    """Files of a photo archive: 250 in a folder, sizes log-normal (median 40 kB, mean 450 kB), some above 1 GiB."""
    random = np.random.default_rng(7)
    sizes = np.minimum(random.lognormal(np.log(_MEDIAN), _SIGMA, count), 5e9).astype(np.int64)
    paths = []
    for low in range(0, count, _PER_FOLDER):
        number = low // _PER_FOLDER
        folder = f"{1990 + number // 4000:04d}\0{number // 100:06d}-session\0roll-{number % 100:02d}\0"
        paths += [f"{folder}IMG_{k:08d}.jpg".encode() for k in range(low, min(low + _PER_FOLDER, count))]
    return Items(
        paths,
        np.full(count, Kind.FILE, dtype=np.int8),
        sizes,
        np.zeros(count, dtype=np.int64),
        np.full(count, WHOLE, dtype=np.int32),
    )


def plan(count: int) -> dict[str, Any]:
    """Job: `split` at 1 GiB and `plan` at 31 GiB."""
    files = items(count)
    before = peak_rss()
    with Clock() as splitting:
        shards, _ = planning.split(files, UNIXFS_V1_2025.size_unit)
    with Clock() as clock:
        containers = planning.plan(shards, 31 * UNIXFS_V1_2025.size_unit)
    planned = sum(container.data_bytes for container in containers)
    return clock.answer(
        split_wall=splitting.wall,
        total_wall=splitting.wall + clock.wall,
        total_cpu=splitting.cpu + clock.cpu,
        containers=len(containers),
        covered=planned == files.data_bytes and containers[-1].stop == len(shards),
        input_rss=before,
    )


def measure(bench: Bench) -> Section:
    """The benchmark."""
    count = bench.size(10_000_000, 200_000, 2_000)
    section = Section(
        f"Plan of {count} files",
        ("what", "wall s", "CPU s", "us/file", "containers", "peak RSS MiB", "of it the files"),
    )
    found = alternate({"plan": partial(job, "plan.plan", count=count)}, 1 if bench.full else bench.repeat)[
        "plan"
    ]
    wall, rss = spread(found, "total_wall"), spread(found, "rss").median
    section.row(
        "split + plan",
        wall.text(2),
        spread(found, "total_cpu").text(2),
        f"{wall.median / count * 1e6:.2f}",
        str(found[0].value["containers"]),
        mib(rss),
        mib(spread(found, "input_rss").median),
    )
    if bench.full:
        section.target("seconds", wall.median, 30, most=True)
        section.target("peak RSS", rss / (1 << 30), 2, most=True, unit=" GiB")
    if not all(sample.value["covered"] for sample in found):
        section.wrong.append("the plan doesn't cover all files")
    return section
