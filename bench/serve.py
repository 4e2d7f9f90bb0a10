"""The piece server over loopback: whole CARs, random ranges, many clients; beside the cost of what it must do.

Clients are processes of curl that throw away what they get, or threads that compare it. The limit is what the cores
allow if reading with hashing, and sending with receiving, take the CPU that each takes alone; what one client gets is
made by one thread at a time, which limits it too.
"""

import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Bench, big_file, small_files, warm
from bench.jobs import Clock
from bench.measure import Sample, job
from bench.report import Section
from ptolemy_core.catalog import Catalog, cars, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.project import parse_project
from ptolemy_core.stages.blitz import Building, build_container, pending
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan

_RANGE = 4 << 20
_PART = 1 << 20
_COMMAND = [sys.executable, "-c", "from ptolemy_dagster.cli import main; main()"]


@dataclass(frozen=True)
class Made:
    """A home with projects, and the server's address."""

    env: dict[str, str]
    catalog: Catalog
    folder: Path

    def build(self, name: str, source: Path, storage: str) -> CarRow:
        """A project of one CAR."""
        staging = self.folder / "staging" / name
        settings = {
            "name": name,
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


def transfer(size: int) -> dict[str, Any]:
    """Job: bytes sent over loopback from memory, and received by curl's way: read and thrown away, in two threads."""
    listener = socket.create_server(("127.0.0.1", 0))
    data = memoryview(bytearray(_RANGE))

    def receive() -> None:
        with socket.create_connection(listener.getsockname()) as sock:
            buffer = bytearray(_PART)
            while sock.recv_into(buffer):
                pass

    with Clock() as clock:
        thread = threading.Thread(target=receive)
        thread.start()
        sock, _ = listener.accept()
        began = time.thread_time()
        with sock:
            for _ in range(size // len(data)):
                sock.sendall(data)
            sending = time.thread_time() - began
        thread.join()
    listener.close()
    return clock.answer(bytes=size // len(data) * len(data), send_cpu=sending)


def _download(url: str, clients: int) -> float:
    """Seconds in which so many clients download it all, each once."""
    started = time.perf_counter()
    found = [subprocess.Popen(["curl", "-sSf", "-o", os.devnull, url]) for _ in range(clients)]
    if any(client.wait() for client in found):
        raise RuntimeError(f"a download of {url} failed")
    return time.perf_counter() - started


def measure(bench: Bench) -> Section:
    """The benchmark."""
    section = Section("Piece server", ("what", "GB/s", "server's CPU s/GB", "of the limit"))
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name)
        (folder / "big").mkdir()
        big = big_file(folder / "big" / "big.bin", bench.size(4 << 30, 512 << 20, 9 << 20))
        small_files(folder / "many", bench.size(200_000, 20_000, 300))
        (folder / "home").mkdir()
        env = os.environ | {"DAGSTER_HOME": str(folder / "home"), "PYTHONPATH": os.getcwd()}
        made = Made(env, Catalog(f"sqlite:///{folder}/home/catalog.db"), folder)
        generated = made.build("generated", folder / "big", "generated")
        many = made.build("many", folder / "many", "generated")
        costs = _costs(bench, big)
        with serving(env) as server:
            warm(big)
            _wholes(bench, section, server, generated, costs)
            _small(bench, section, server, many)
            _first_bytes(bench, section, server, generated)
        made.build("staged", folder / "big", "staged")
        car = made.folder / "staging" / "staged" / generated.file_name
        aside = folder / "aside.car"
        car.rename(aside)
        with serving(env) as server:
            _many_clients(bench, section, server, generated, aside)
        aside.rename(car)
        with serving(env) as server:
            warm(car)
            _row(section, server, "staged, 1 client", generated, 1, bench.repeat)
            _row(section, server, "staged, 8 clients", generated, 8, bench.repeat)
        _nginx(bench, section, car)
    return section


@dataclass(frozen=True)
class Costs:
    """CPU seconds for each GB: of reading and hashing, of sending, and of sending and receiving."""

    hashing: float
    sending: float
    transfer: float


def _costs(bench: Bench, big: Path) -> Costs:
    warm(big)
    size = bench.size(4 << 30, 1 << 30, 16 << 20)
    read = [job("generate.floor", path=str(big)) for _ in range(bench.repeat)]
    sent = [job("serve.transfer", size=size) for _ in range(bench.repeat)]

    def each(samples: list[Sample], key: str) -> float:
        return float(np.median([one.number(key) / one.number("bytes") * 1e9 for one in samples]))

    return Costs(each(read, "work_cpu"), each(sent, "send_cpu"), each(sent, "work_cpu"))


def _wholes(bench: Bench, section: Section, server: Server, row: CarRow, costs: Costs) -> None:
    cores = os.cpu_count() or 1
    section.notes.append(
        f"CPU s/GB alone: reading and hashing {costs.hashing:.2f}, sending {costs.sending:.2f}, sending and "
        f"receiving {costs.transfer:.2f}; {cores} cores"
    )
    for clients in (1, 8):
        limit = min(cores / (costs.hashing + costs.transfer), clients / costs.hashing)
        rate = _row(section, server, f"generated, {clients} clients", row, clients, bench.repeat, limit)
        section.target(f"generated, {clients} clients: rate of the limit", rate / limit, 0.8)
        share = (costs.hashing + costs.sending) / max(float(section.rows[-1][2]), 1e-9)
        section.target(f"generated, {clients} clients: reading, hashing and sending of its CPU", share, 0.8)


def _row(
    section: Section,
    server: Server,
    name: str,
    row: CarRow,
    clients: int,
    repeat: int,
    limit: float | None = None,
) -> float:
    """Measure downloads; GB/s of all together."""
    rates, costs = [], []
    for _ in range(repeat):
        before = server.cpu()
        seconds = _download(server.piece(row), clients)
        size = clients * row.car_size / 1e9
        rates.append(size / seconds)
        costs.append((server.cpu() - before) / size)
    rate = float(np.median(rates))
    share = f"{rate / limit:.2f}" if limit else ""
    section.row(name, f"{rate:.2f} ({min(rates):.2f}..{max(rates):.2f})", f"{np.median(costs):.2f}", share)
    return rate


def _small(bench: Bench, section: Section, server: Server, row: CarRow) -> None:
    _download(server.piece(row), 1)  # the folders of the source are cached then
    _row(section, server, "generated, files of 4 KiB, 1 client", row, 1, bench.repeat)
    cost = float(section.rows[-1][2])
    section.target(
        "generated, files of 4 KiB: GB for each CPU second of the server", 1 / max(cost, 1e-9), 0.25
    )


def _first_bytes(bench: Bench, section: Section, server: Server, row: CarRow) -> None:
    rng = random.Random(7)
    times = []
    for _ in range(bench.size(300, 100, 5)):
        first = rng.randrange(max(1, row.car_size - _RANGE))
        host, _, path = server.piece(row).removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.connect()
        started = time.perf_counter()
        connection.request("GET", "/" + path, headers={"Range": f"bytes={first}-{first + _RANGE - 1}"})
        answer = connection.getresponse()
        answer.read(1)
        times.append((time.perf_counter() - started) * 1000)
        answer.read()
        connection.close()
    median, high = np.median(times), np.percentile(times, 99)
    section.notes.append(
        f"Random ranges of 4 MiB: first byte after {median:.1f} ms, 99 % within {high:.1f} ms"
    )
    section.target("first byte of a random range, median", float(median), 20, most=True, unit=" ms")


def _many_clients(bench: Bench, section: Section, server: Server, row: CarRow, car: Path) -> None:
    """64 clients that compare what they get with the staged CAR."""
    expected = np.memmap(car, dtype=np.uint8, mode="r")
    until = time.monotonic() + bench.size(60, 10, 1)
    host, _, path = server.piece(row).removeprefix("http://").partition("/")

    def client(seed: int) -> tuple[int, int]:
        rng, got, wrong = random.Random(seed), 0, 0
        connection = http.client.HTTPConnection(host, timeout=60)
        while time.monotonic() < until:
            first = rng.randrange(max(1, len(expected) - _RANGE))
            last = min(len(expected), first + rng.randrange(1, _RANGE)) - 1
            connection.request("GET", "/" + path, headers={"Range": f"bytes={first}-{last}"})
            data = np.frombuffer(connection.getresponse().read(), dtype=np.uint8)
            wrong += int((data != expected[first : last + 1]).sum())
            got += len(data)
        connection.close()
        return got, wrong

    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(client, range(64)))
    total, wrong = (sum(column) for column in zip(*found, strict=True))
    section.notes.append(f"64 clients of random ranges: {total / 1e9:.2f} GB, {wrong} wrong bytes")
    section.target(
        "memory of the server with 64 clients", server.peak() / (1 << 20), 512, most=True, unit=" MiB"
    )
    if wrong:
        section.wrong.append(f"64 clients: {wrong} wrong bytes")


def _nginx(bench: Bench, section: Section, car: Path) -> None:
    program = shutil.which("nginx")
    if program is None:
        section.notes.append("nginx isn't installed: no figure of it")
        return
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        config = Path(place) / "nginx.conf"
        config.write_text(
            f"daemon off; pid {place}/pid; error_log {place}/log; events {{}}\n"
            f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {car.parent}; }} }}\n"
        )
        process = subprocess.Popen([program, "-c", str(config), "-p", place])
        try:
            time.sleep(1)
            for clients in (1, 8):
                url = f"http://127.0.0.1:{port}/{car.name}"
                rates = [
                    clients * car.stat().st_size / 1e9 / _download(url, clients) for _ in range(bench.repeat)
                ]
                section.row(f"nginx, staged, {clients} clients", f"{np.median(rates):.2f}")
        finally:
            process.terminate()
            process.wait(10)
