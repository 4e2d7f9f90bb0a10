"""The piece server over loopback: whole CARs, random ranges, many clients; beside the cost of what it must do.

Clients are processes of curl that throw away what they get, or threads that compare it. The limit is what the cores
allow if reading with hashing, and sending with receiving, take the CPU that each takes alone; what one client gets is
made by one thread at a time, which limits it too.
"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Bench, big_file, small_files, warm
from bench.jobs import Clock
from bench.measure import Sample, job
from bench.pieces import RANGE, Made, Server, crowd, first_bytes, serving
from bench.report import Section
from ptolemy_core.catalog.cars import CarRow

_PART = 1 << 20


def transfer(size: int) -> dict[str, Any]:
    """Job: bytes sent over loopback from memory, and received by curl's way: read and thrown away, in two threads."""
    listener = socket.create_server(("127.0.0.1", 0))
    data = memoryview(bytearray(RANGE))

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


def _download(url: str, clients: int, split: int = 0) -> float:
    """Seconds in which so many clients download it all, each once; or, of `split` bytes, each another part of it."""
    started = time.perf_counter()
    edges = [split * k // clients for k in range(clients + 1)]
    ranges = [["-r", f"{low}-{high - 1}"] if split else [] for low, high in itertools.pairwise(edges)]
    found = [subprocess.Popen(["curl", "-sSf", "-o", os.devnull, *one, url]) for one in ranges]
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
        made = Made.within(folder)
        generated = made.build("generated", folder / "big", "generated")
        many = made.build("many", folder / "many", "generated")
        costs = _costs(bench, big)
        with serving(made.env) as server:
            warm(big)
            _wholes(bench, section, server, generated, costs)
            _small(bench, section, server, many)
            _first_bytes(bench, section, server, generated)
        made.build("staged", folder / "big", "staged")
        car = made.folder / "staging" / "staged" / generated.file_name
        aside = folder / "aside.car"
        car.rename(aside)
        with serving(made.env) as server:
            _many_clients(bench, section, server, generated, aside)
        aside.rename(car)
        with serving(made.env) as server:
            warm(car)
            _row(section, server, "staged, 1 client", generated, (1, False), bench.repeat)
            _row(section, server, "staged, 8 clients", generated, (8, False), bench.repeat)
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
    for clients, split in ((1, False), (8, False), (8, True)):
        limit = min(cores / (costs.hashing + costs.transfer), clients / costs.hashing)
        name = f"generated, {clients} client{'s' if clients > 1 else ''}{', an eighth each' if split else ''}"
        rate = _row(section, server, name, row, (clients, split), bench.repeat, limit)
        section.target(f"{name}: rate of the limit", rate / limit, 0.8)
        share = (costs.hashing + costs.sending) / max(float(section.rows[-1][2]), 1e-9)
        section.target(f"{name}: reading, hashing and sending beside its CPU", share, 0.8)


def _row(
    section: Section,
    server: Server,
    name: str,
    row: CarRow,
    clients: tuple[int, bool],
    repeat: int,
    limit: float | None = None,
) -> float:
    """Measure downloads by so many clients, of all or of a part each; GB/s of all together."""
    rates, costs = [], []
    count, split = clients
    for _ in range(repeat):
        before = server.cpu()
        seconds = _download(server.piece(row), count, row.car_size if split else 0)
        size = (1 if split else count) * row.car_size / 1e9
        rates.append(size / seconds)
        costs.append((server.cpu() - before) / size)
    rate = float(np.median(rates))
    share = f"{rate / limit:.2f}" if limit else ""
    section.row(name, f"{rate:.2f} ({min(rates):.2f}..{max(rates):.2f})", f"{np.median(costs):.2f}", share)
    return rate


def _small(bench: Bench, section: Section, server: Server, row: CarRow) -> None:
    _download(server.piece(row), 1)  # the folders of the source are cached then
    _row(section, server, "generated, files of 4 KiB, 1 client", row, (1, False), bench.repeat)
    cost = float(section.rows[-1][2])
    section.target(
        "generated, files of 4 KiB: GB for each CPU second of the server", 1 / max(cost, 1e-9), 0.25
    )


def _first_bytes(bench: Bench, section: Section, server: Server, row: CarRow) -> None:
    median, high = first_bytes(server, row, bench.size(300, 100, 5))
    section.notes.append(
        f"Random ranges of 4 MiB: first byte after {median:.1f} ms, 99 % within {high:.1f} ms"
    )
    section.target("first byte of a random range, median", median, 20, most=True, unit=" ms")


def _many_clients(bench: Bench, section: Section, server: Server, row: CarRow, car: Path) -> None:
    """64 clients that compare what they get with the staged CAR."""
    total, wrong = crowd([(server, row, car)], 64, bench.size(60, 10, 1))
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
        folders = "".join(
            f"{kind}_temp_path {place}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root; " if os.geteuid() == 0 else ""
        config.write_text(
            f"{user}daemon off; pid {place}/pid; error_log {place}/log; events {{}}\n"
            f"http {{ access_log off; sendfile on; {folders} "
            f"server {{ listen 127.0.0.1:{port}; root {car.parent}; }} }}\n"
        )
        process = subprocess.Popen([program, "-c", str(config), "-p", place])
        try:
            time.sleep(1)
            for clients in (1, 8):
                url = f"http://127.0.0.1:{port}/{car.name}"
                rates = [
                    clients * car.stat().st_size / 1e9 / _download(url, clients) for _ in range(bench.repeat)
                ]
                name = f"nginx, staged, {clients} client{'s' if clients > 1 else ''}"
                shown = f"{np.median(rates):.2f} ({min(rates):.2f}..{max(rates):.2f})"
                section.row(name, shown, "", "")
        finally:
            process.terminate()
            process.wait(10)
