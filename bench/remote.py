"""A build from a bucket against obstore's plain download of the same bytes plus a build from memory.

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
from ptolemy_core.source.tokens import token_of
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import Kind
from tests.remote import servers

_RANGE = 127 << 17
"""Bytes of a ranged read, those of a unit of a build."""


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


def cpu(work: Callable[[], Any], times: int = 3) -> float:
    """The least CPU seconds of this process for some work."""
    best = float("inf")
    for _ in range(times):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
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


def say(what: str, ours: float, peers: float, limit: float) -> None:
    """Print a ratio."""
    print(f"{what}: {ours:.2f} s against {peers:.2f} s, {ours / peers:.2f} times (at most {limit})")


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

        bare = cpu(lambda: download_ranges(store, "big/object", len(data)))
        memory = cpu(lambda: build(Memory({b"object": data}), place))
        ours = cpu(lambda: build(open_source(f"s3://{server.bucket}/big".encode()), place))
        print(f"download {bare:.2f} s, build from memory {memory:.2f} s")
        say(f"one object of {chosen.mib} MiB", ours, bare + memory, 1.15)

        files = {name.removeprefix("small/").encode(): content for name, content in small.items()}
        bare = cpu(lambda: download_small(store, names))
        memory = cpu(lambda: build(Memory(files), place))
        ours = cpu(lambda: build(open_source(f"s3://{server.bucket}/small".encode()), place))
        print(f"download {bare:.2f} s, build from memory {memory:.2f} s")
        say(f"{chosen.small} objects of 4 KiB", ours, bare + memory, 1.3)

        url = f"s3://{server.bucket}/keys".encode()
        bare = cpu(lambda: [one for page in obstore.list(store, "keys") for one in page])
        ours = cpu(lambda: [one for page in open_source(url).entries() for one in page])
        listed = cpu(lambda: [one for page in open_source(url)._keys.objects("keys/") for one in page])  # type: ignore[attr-defined]
        say(f"listing of {chosen.keys} keys", listed, bare, 1.5)
        say(f"the same, sorted by path ({token_of.__name__} and all)", ours, bare, 1.5)


if __name__ == "__main__":
    sys.exit(main())
