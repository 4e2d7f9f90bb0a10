"""A piece server over projects that are built without Dagster, for the benchmarks that measure it."""

import http.client
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptolemy_core.catalog import Catalog, cars, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.project import parse_project
from ptolemy_core.stages.blitz import Building, build_container, pending
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan

_COMMAND = [sys.executable, "-c", "from ptolemy_dagster.cli import main; main()"]


@dataclass(frozen=True)
class Made:
    """A home with projects, and the server's address."""

    env: dict[str, str]
    catalog: Catalog
    folder: Path

    @staticmethod
    def within(folder: Path) -> "Made":
        """A new home in a folder."""
        (folder / "home").mkdir()
        env = os.environ | {"DAGSTER_HOME": str(folder / "home"), "PYTHONPATH": os.getcwd()}
        return Made(env, Catalog(f"sqlite:///{folder}/home/catalog.db"), folder)

    def build(self, name: str, source: Path, storage: str) -> CarRow:
        """A project of one CAR."""
        staging = self.folder / "staging" / name
        settings = {
            "name": name,
            "car_size": 31,
            "shard_size": 31,
            "target_dir": str(source),
            "staging_dir": str(staging),
            "car_storage": storage,
        }
        projects.create(self.catalog, parse_project({**settings, "public_pieces": True}))
        scan(self.catalog, name)
        containerize(self.catalog, name)
        for row in pending(self.catalog, name):
            build_container(self.catalog, name, row.number, Building())
        return next(cars.rows(self.catalog, name))


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: "subprocess.Popen[str]"
    url: str

    def piece(self, row: CarRow) -> str:
        """The URL of a piece."""
        return f"{self.url}/piece/{cid.to_text(row.piece_cid_v1)}"

    def peak(self) -> int:
        """Peak resident bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))

    def cpu(self) -> float:
        """CPU seconds so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(env: dict[str, str]) -> Iterator[Server]:
    """A piece server while the block lasts."""
    arguments = [*_COMMAND, "serve-pieces", "--port", "0", "--access-log", "", "--per-address", "256"]
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield Server(process, line.split()[1].rpartition("/piece")[0])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


RANGE = 4 << 20


def first_bytes(server: Server, row: CarRow, count: int) -> tuple[float, float]:
    """Milliseconds to the first byte of random ranges of 4 MiB: median and 99th percentile."""
    rng = random.Random(7)
    times = []
    for _ in range(count):
        first = rng.randrange(max(1, row.car_size - RANGE))
        host, _, path = server.piece(row).removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.connect()
        started = time.perf_counter()
        connection.request("GET", "/" + path, headers={"Range": f"bytes={first}-{first + RANGE - 1}"})
        answer = connection.getresponse()
        answer.read(1)
        times.append((time.perf_counter() - started) * 1000)
        answer.read()
        connection.close()
    return float(np.median(times)), float(np.percentile(times, 99))


def crowd(served: Sequence[tuple[Server, CarRow, Path]], clients: int, seconds: float) -> tuple[int, int]:
    """Clients that fetch random ranges and compare them with the same CARs as files; bytes, and wrong ones."""
    expected = [np.memmap(car, dtype=np.uint8, mode="r") for _, _, car in served]
    until = time.monotonic() + seconds

    def client(seed: int) -> tuple[int, int]:
        rng, got, wrong = random.Random(seed), 0, 0
        server, row, _ = served[seed % len(served)]
        right = expected[seed % len(served)]
        host, _, path = server.piece(row).removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=60)
        while time.monotonic() < until:
            first = rng.randrange(max(1, len(right) - RANGE))
            last = min(len(right), first + rng.randrange(1, RANGE)) - 1
            connection.request("GET", "/" + path, headers={"Range": f"bytes={first}-{last}"})
            data = np.frombuffer(connection.getresponse().read(), dtype=np.uint8)
            wrong += len(right[first : last + 1]) - len(data) or int((data != right[first : last + 1]).sum())
            got += len(data)
        connection.close()
        return got, wrong

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, range(clients)))
    total, wrong = (sum(column) for column in zip(*found, strict=True))
    return total, wrong
