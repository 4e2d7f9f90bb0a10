"""`python -m bench.http_load`: many clients at once on `ptolemy serve`; no request that was answered is lost.

Each client defines projects of its own and reads them back, as fast as it is answered: `--reads` reads for each
definition (2). At the end every project whose definition was answered must be there.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SCRIPT = "from ptolemy_dagster.cli import main; main()"
_OPTIONS = ("--rate-limit", "0", "--no-daemon", "--dagster-url", "http://127.0.0.1:1")


@dataclass
class Tally:
    """What clients saw: answers by status, seconds by method, requests without an answer, projects confirmed."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "POST": []})
    unanswered: list[str] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)
    cpu: float = 0.0
    """Processor seconds of the server while clients asked."""

    @property
    def lost(self) -> set[str]:
        """Projects whose definition was answered and that aren't there."""
        return self.confirmed - self.found

    def quantile(self, method: str, share: float) -> float:
        """Seconds within which this share of requests was answered; 0 if there was none."""
        ordered = sorted(self.seconds[method])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server: its address and its process."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Processor seconds that it has taken, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A server of its own without Dagster beside it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, "serve", "--port", "0", *_OPTIONS],
        env=os.environ | {"DAGSTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r"http://[^/\s]+", first)
        if not found:
            raise RuntimeError(f"the server doesn't start: {first}")
        yield Served(found[0], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


async def press(server: Served, clients: int, seconds: float, folder: Path, reads: int = 2) -> Tally:
    """Let clients ask for a while, so many reads for each definition, then look what is there."""
    tally, url, before = Tally(), server.url, server.cpu()
    await press_for(url, clients, time.monotonic() + seconds, folder, tally, reads=reads)
    tally.cpu = server.cpu() - before
    following: str | None = "/v0/projects?limit=10000"
    async with _connected(url) as connection:
        while following:
            _, head, body = await connection.ask("GET", following)
            tally.found.update(project["name"] for project in json.loads(body))
            link = re.search(r"(?im)^link: <([^>]+)>; rel=\"next\"", head)
            following = link[1] if link else None
    return tally


async def press_for(url: str, clients: int, end: float, folder: Path, tally: Tally, *, reads: int) -> None:
    """Let clients ask until a time of the monotonic clock, so many reads for each definition."""
    (folder / "data").mkdir(exist_ok=True)
    await asyncio.gather(*(_client(url, number, end, folder, tally, reads) for number in range(clients)))


class _Server:
    """A kept connection to the server. Any library's client takes longer to ask than the server to answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str, bytes]:
        """Status, head and body of an answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?im)^content-length: (\d+)", answer)
        return int(answer[9:12]), answer, await self._reader.readexactly(int(length[1]) if length else 0)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[_Server]:
    host = url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"), limit=1 << 26)
    try:
        yield _Server(reader, writer, host)
    finally:
        writer.close()


async def _client(url: str, number: int, end: float, folder: Path, tally: Tally, reads: int) -> None:
    settings = {"target_dir": str(folder / "data"), "staging_dir": str(folder / "cars")}
    body = json.dumps(settings).encode()
    turn = 0
    async with _connected(url) as server:
        while time.monotonic() < end:
            name = f"client{number}-{turn}"
            if await _ask(server, "POST", f"/v0/create/{name}", tally, body) == 200:
                tally.confirmed.add(name)
            for read in range(reads):
                what = ("projects", "carfile_meta")[read % 2]
                await _ask(server, "GET", f"/v0/{what}/{name}", tally)
                if time.monotonic() > end:
                    break
            turn += 1


async def _ask(server: _Server, method: str, path: str, tally: Tally, body: bytes = b"") -> int:
    started = time.monotonic()
    try:
        status, _, _ = await server.ask(method, path, body)
    except (OSError, EOFError) as error:
        tally.unanswered.append(f"{method} {path}: {error!r}")
        return 0
    tally.seconds[method].append(time.monotonic() - started)
    tally.statuses[status] += 1
    return status


def main() -> int:
    """Run; 1 if a confirmed project is lost, a request wasn't answered, or an answer was no success."""
    parser = argparse.ArgumentParser(prog="python -m bench.http_load", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--reads", type=int, default=2, help="reads for each definition")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ptolemy-load-") as name, served(Path(name) / "home") as server:
        tally = asyncio.run(press(server, arguments.clients, arguments.seconds, Path(name), arguments.reads))
    requests = sum(tally.statuses.values())
    print(f"{arguments.clients} clients, {arguments.seconds:g} s: {requests} requests answered, ", end="")
    print(f"{requests / arguments.seconds:.0f} a second, by status {dict(tally.statuses)}")
    for method, what in (("GET", "reads"), ("POST", "definitions")):
        median, most, worst = (tally.quantile(method, share) for share in (0.5, 0.99, 1))
        rate = len(tally.seconds[method]) / arguments.seconds
        print(f"{what}: {rate:.0f} a second; seconds: median {median:.3f}, 99% {most:.3f}, most {worst:.3f}")
    print(f"server: {1000 * tally.cpu / max(1, requests):.2f} ms of processor time a request, ", end="")
    print(f"{tally.cpu / arguments.seconds:.2f} cores busy")
    print(
        f"projects confirmed {len(tally.confirmed)}, lost {len(tally.lost)}; unanswered {len(tally.unanswered)}"
    )
    for line in tally.unanswered[:10]:
        print(line)
    return 1 if tally.lost or tally.unanswered or set(tally.statuses) != {200} else 0


if __name__ == "__main__":
    raise SystemExit(main())
