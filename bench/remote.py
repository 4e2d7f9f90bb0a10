"""A build from a bucket, and one into it, beside obstore's plain transfer of the same bytes plus a build from memory.

    python -m bench.remote [--mib 256] [--small 10000] [--keys 20000]

Server and client share this machine, so CPU seconds of this process alone are compared, never the time. The server is
versitygw, which must be on the PATH: go install github.com/versity/versitygw/cmd/versitygw@latest
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.store import S3Store

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.whole import whole
from ptolemy_core.layout import compute_layout
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source import Entry, Source, Stamp, Stamps, open_source
from ptolemy_core.source.protocol import FolderSeen
from ptolemy_core.staging.build import build_car
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.tree import Kind
from tests.remote import servers

_RANGE = 127 << 17
"""Bytes of a ranged read, those of a unit of a build."""

_PART = 16 << 20
"""Bytes of a part of an upload."""


@dataclass
class Memory:
    """Files in memory as a source."""

    files: dict[bytes, bytes]

    def name(self, path: bytes) -> str:
        return path.decode()

    def top(self) -> Entry:
        return Entry(b"", int(Kind.DIRECTORY), 0, 0)

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = 2000
    ) -> Iterator[list[Entry]]:
        yield [Entry(path, int(Kind.FILE), len(data), 0) for path, data in sorted(self.files.items())]

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> None:
        data = memoryview(self.files[path])
        for buffer in buffers:
            buffer[:] = data[offset : offset + len(buffer)]
            offset += len(buffer)

    def read_many(
        self, names: Sequence[bytes], buffer: Any, offsets: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], None]:
        view = memoryview(buffer)
        for name, at in zip(names, offsets.tolist(), strict=True):
            data = self.files[name]
            view[at : at + len(data)] = data
        return np.ones(len(names), dtype=np.bool_), None

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        pass

    def link(self, path: bytes) -> bytes:
        raise NotImplementedError


def cpu(*works: Callable[[], Any], times: int = 3) -> list[float]:
    """The least CPU seconds of this process for each of some works, which alternate."""
    best = [float("inf")] * len(works)
    for _ in range(times):
        for number, work in enumerate(works):
            before = time.process_time()
            work()
            best[number] = min(best[number], time.process_time() - before)
    return best


def build(source: Source, folder: str) -> None:
    """A CAR of a source, which is removed again."""
    items, inputs = whole(source)
    built = build_car(compute_layout(items), inputs, folder, ".bench.car.part", BuildOptions())
    os.unlink(os.path.join(folder, built.file_name))


def download_ranges(store: Any, key: str, size: int) -> None:
    """Obstore's download of an object by ranges, four at a time."""

    def one(start: int) -> int:
        got = obstore.get(store, key, options={"range": (start, min(start + _RANGE, size))})
        return len(got.bytes())

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(0, size, _RANGE))) == size


def download_small(store: Any, keys: Sequence[str]) -> None:
    """Obstore's download of small objects, many at a time."""
    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(lambda key: len(obstore.get(store, key).bytes()), keys)) > 0


def upload(store: Any, car: bytes) -> None:
    """Obstore's upload of a CAR in parts, as staging does it."""
    parts = (car[at : at + _PART] for at in range(0, len(car), _PART))
    obstore.put(store, "plain/x.car", parts, use_multipart=True, chunk_size=_PART, max_concurrency=4)


def stage(source: Source, area: StoreArea) -> str:
    """A CAR of a source, built into a store; returns its name."""
    items, inputs = whole(source)
    layout = compute_layout(items)
    return build_car(layout, inputs, area, ".bench.car.part", BuildOptions()).file_name


def say(what: str, ours: float, peers: float, limit: float | None = None) -> None:
    """Print a ratio."""
    target = "" if limit is None else f" (at most {limit})"
    print(f"{what}: {ours:.2f} s against {peers:.2f} s, {ours / peers:.2f} times{target}")


def compare_big(server: servers.Store, store: Any, data: bytes, place: str) -> None:
    """One large object: read into a CAR in a folder, and a CAR of it sent to the store."""
    name = f"one object of {len(data) >> 20} MiB"
    source = Memory({b"object": data})
    bare, memory, ours = cpu(
        lambda: download_ranges(store, "big/object", len(data)),
        lambda: build(source, place),
        lambda: build(open_source(f"s3://{server.bucket}/big".encode()), place),
    )
    print(f"download {bare:.2f} s, build from memory {memory:.2f} s")
    say(name, ours, bare + memory, 1.15)

    area = StoreArea(f"s3://{server.bucket}/cars", None, place)
    car = bytes(obstore.get(store, f"cars/{stage(source, area)}").bytes())

    def staged() -> None:
        area.remove(stage(source, area))

    area.remove(stage(source, area))
    bare, memory, ours = cpu(lambda: upload(store, car), lambda: build(source, place), staged)
    print(f"upload {bare:.2f} s, build from memory {memory:.2f} s")
    say(f"{name}, from memory into a store", ours, bare + memory)


def compare_small(server: servers.Store, store: Any, files: dict[str, bytes], place: str) -> None:
    """Objects of 4 KiB."""
    source = Memory({name.removeprefix("small/").encode(): content for name, content in files.items()})
    bare, memory, ours = cpu(
        lambda: download_small(store, list(files)),
        lambda: build(source, place),
        lambda: build(open_source(f"s3://{server.bucket}/small".encode()), place),
        times=5,
    )
    print(f"download {bare:.2f} s, build from memory {memory:.2f} s")
    say(f"{len(files)} objects of 4 KiB", ours, bare + memory, 1.3)


def compare_listing(server: servers.Store, store: Any, count: int) -> None:
    """Keys."""
    source: Any = open_source(f"s3://{server.bucket}/keys".encode())
    bare, listed, ours = cpu(
        lambda: [one for page in obstore.list(store, "keys") for one in page],
        lambda: [one for page in source._keys.objects("keys/") for one in page],
        lambda: [one for page in source.entries() for one in page],
    )
    say(f"listing of {count} keys", listed, bare, 1.5)
    print(f"the same as entries in the catalog's order: {ours:.2f} s")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, servers.versitygw(Path(place)) as server:
        os.environ.update(server.environment)
        store = S3Store(server.bucket, endpoint=server.endpoint, client_options={"allow_http": True})
        data = os.urandom(chosen.mib << 20)
        obstore.put(store, "big/object", data, use_multipart=False)
        names = [f"small/{k:06}" for k in range(chosen.small)]
        starts = [4096 * k % (len(data) - 4096) for k in range(chosen.small)]
        small = {name: data[start : start + 4096] for name, start in zip(names, starts, strict=True)}
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: obstore.put(store, name, small[name]), names))
            list(pool.map(lambda k: obstore.put(store, f"keys/{k % 100:03}/{k:06}", b""), range(chosen.keys)))
        build(Memory({b"object": data[: 16 << 20]}), place)  # warm
        compare_big(server, store, data, place)
        compare_small(server, store, small, place)
        compare_listing(server, store, chosen.keys)


if __name__ == "__main__":
    sys.exit(main())
