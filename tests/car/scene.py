"""Trees on disk, and their CARs, in one call each."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptolemy_core.car import BuiltCar
from ptolemy_core.car import whole as contents
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout import Items, ItemsBuilder, Layout, compute_layout
from ptolemy_core.source import Inputs, open_source
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import Kind
from tests.dag import oracle

SMALL = Profile(chunk=8, width=3, hamt_threshold=300)


def sizes(profile: Profile) -> oracle.Sizes:
    """The oracle's view of a profile."""
    return oracle.Sizes(profile.chunk, profile.width, profile.hamt_threshold)


def write_tree(path: bytes | str | Path, content: oracle.Content) -> bytes:
    """Put a content on disk; returns its path as bytes."""
    place = os.fsencode(path)
    if isinstance(content, bytes):
        with open(place, "wb") as file:
            file.write(content)
    elif isinstance(content, oracle.Link):
        os.symlink(content.target, place)
    else:
        os.makedirs(place, exist_ok=True)
        for name, below in content.items():
            write_tree(place + b"/" + name, below)
    return place


def whole(path: bytes) -> tuple[Items, Inputs]:
    """The items of what is at `path`, and where to read them."""
    return contents.whole(open_source(path))


def with_shards(
    items: Items, source: Inputs, shards: Mapping[bytes, list[tuple[int, int, int]]]
) -> tuple[Items, Inputs]:
    """The same with some files as shards: of each path, (number, start, length)."""
    builder = ItemsBuilder()
    rows: list[int] = []
    for row, path in enumerate(items.paths):
        parts = shards.get(path)
        if parts is None:
            builder.add(path, Kind(items.kinds[row]), int(items.sizes[row]))
            rows.append(row)
        for number, start, length in parts or ():
            builder.add(path, Kind.FILE, length, start, number)
            rows.append(row)
    split = builder.build()
    targets = {new: source.targets[row] for new, row in enumerate(rows) if row in source.targets}
    return split, Inputs(source.source, split, source.stamps.take(rows), targets)


def build(
    path: bytes, staging: str | Path, profile: Profile = UNIXFS_V1_2025, **options: Any
) -> tuple[BuiltCar, Layout]:
    """The CAR of what stands at `path`."""
    items, source = whole(path)
    layout = compute_layout(items, profile)
    progress = options.pop("progress", None)
    how = BuildOptions(**{"sha256": True} | options)
    return build_car(layout, source, str(staging), ".test.car.part", how, progress=progress), layout
