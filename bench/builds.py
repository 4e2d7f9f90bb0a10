"""What Ptolemy does of folders and files, as jobs; other benchmarks run them."""

import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

from bench.jobs import Clock
from bench.measure import Run, job
from ptolemy_core.car.fill import fill
from ptolemy_core.car.nodes import block_cid
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.root import root_cid
from ptolemy_core.car.whole import whole
from ptolemy_core.dag import cid
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import open_source
from ptolemy_core.staging.area import StagingArea
from ptolemy_core.staging.build import build_car


def build(path: str, out: str, sha256: bool) -> dict[str, Any]:
    """Job: the CAR of a file or folder in the folder `out`: walk, layout, build."""
    target = os.fsencode(path)
    with Clock() as clock:
        with Clock() as walking:
            items, source = whole(open_source(target))
        with Clock() as laying:
            layout = compute_layout(items)
        with Clock() as building:
            built = build_car(layout, source, out, ".bench.car.part", BuildOptions(sha256=sha256))
    os.unlink(os.path.join(out, built.file_name))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return clock.answer(
        walk_cpu=walking.cpu,
        layout_cpu=laying.cpu,
        build_wall=building.wall,
        build_cpu=building.cpu,
        system=usage.ru_stime,
        bytes=items.data_bytes,
        root=cid.to_text(built.payload_cid),
        piece=cid.to_text(built.piece_cid_v1),
        piece_v2=cid.to_text(built.piece_cid_v2),
    )


def car_alone(path: str, out: str) -> dict[str, Any]:
    """Job: the same without piece CIDs, which a build always makes: every byte is written, none is committed."""
    target, options = os.fsencode(path), BuildOptions()
    with Clock() as clock:
        with Clock() as walking:
            items, source = whole(open_source(target))
        with Clock() as laying:
            layout = compute_layout(items)
        unit = options.unit_of(layout)
        with Clock() as building, StagingArea(out).attempt(".bench.car.part", layout.car_size) as output:
            digests = fill(layout, source, lambda k, data: output.write(data, k * unit), options)
            output.sync()
    return clock.answer(
        walk_cpu=walking.cpu,
        layout_cpu=laying.cpu,
        build_wall=building.wall,
        build_cpu=building.cpu,
        bytes=items.data_bytes,
        root=cid.to_text(block_cid(layout, 0, digests[0].tobytes())),
    )


def keep(path: str, out: str, name: str) -> dict[str, Any]:
    """Job: the CAR of a file or folder, left in `out` under `name`, for a peer to check."""
    items, source = whole(open_source(os.fsencode(path)))
    built = build_car(compute_layout(items), source, out, ".bench.car.part")
    os.replace(os.path.join(out, built.file_name), os.path.join(out, name))
    return {"piece": built.piece_cid_v1.hex(), "piece_size": built.piece_size}


def root(path: str) -> dict[str, Any]:
    """Job: the CID of a file or folder, without a CAR."""
    with Clock() as clock:
        binary = root_cid(os.fsencode(path))
    return clock.answer(root=cid.to_text(binary))


def ours(path: Path, out: Path) -> dict[str, Run]:
    """Ptolemy's rows of a comparison, by what they make."""
    common: dict[str, Any] = {"path": str(path)}
    car = partial(job, "builds.build", **common, out=str(out))
    rows: dict[str, Run] = {"CAR, piece CIDs, sha256": partial(car, sha256=True)}
    rows["CAR, piece CIDs"] = partial(car, sha256=False)
    rows["CAR, no piece CID"] = partial(job, "builds.car_alone", **common, out=str(out))
    rows["root CID"] = partial(job, "builds.root", **common)
    return rows
