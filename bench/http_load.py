"""`python -m bench.http_load`: many clients at once on `ptolemy serve`; no request that was answered is lost.

Each client defines projects of its own and reads them back, as fast as it is answered: `--reads` reads for each
definition (2). At the end every project whose definition was answered must be there. Needs httpx.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

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

    @property
    def lost(self) -> set[str]:
        """Projects whose definition was answered and that aren't there."""
        return self.confirmed - self.found

    def quantile(self, method: str, share: float) -> float:
        """Seconds within which this share of requests was answered; 0 if there was none."""
        ordered = sorted(self.seconds[method])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@contextmanager
def served(home: Path) -> Iterator[str]:
    """A server of its own without Dagster beside it, and its address."""
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
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


async def press(url: str, clients: int, seconds: float, folder: Path, reads: int = 2) -> Tally:
    """Let clients ask for a while, so many reads for each definition, then look what is there."""
    tally = Tally()
    (folder / "data").mkdir(exist_ok=True)
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        await asyncio.gather(*(_client(http, number, end, folder, tally, reads) for number in range(clients)))
        following: str | None = "/v0/projects?limit=10000"
        while following:
            answer = await http.get(following)
            tally.found.update(project["name"] for project in answer.json())
            following = answer.links["next"]["url"] if "next" in answer.links else None
    return tally


async def _client(
    http: httpx.AsyncClient, number: int, end: float, folder: Path, tally: Tally, reads: int
) -> None:
    turn = 0
    while time.monotonic() < end:
        name = f"client{number}-{turn}"
        settings = {"target_dir": str(folder / "data"), "staging_dir": str(folder / "cars")}
        if await _ask(http, "POST", f"/v0/create/{name}", tally, settings) == 200:
            tally.confirmed.add(name)
        for read in range(reads):
            await _ask(http, "GET", f"/v0/{('projects', 'carfile_meta')[read % 2]}/{name}", tally)
            if time.monotonic() > end:
                break
        turn += 1


async def _ask(
    http: httpx.AsyncClient, method: str, path: str, tally: Tally, settings: dict[str, str] | None = None
) -> int:
    started = time.monotonic()
    try:
        answer = await http.request(method, path, json=settings)
    except httpx.HTTPError as error:
        tally.unanswered.append(f"{method} {path}: {error!r}")
        return 0
    tally.seconds[method].append(time.monotonic() - started)
    tally.statuses[answer.status_code] += 1
    return answer.status_code


def main() -> int:
    """Run; 1 if a confirmed project is lost, a request wasn't answered, or an answer was no success."""
    parser = argparse.ArgumentParser(prog="python -m bench.http_load", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--reads", type=int, default=2, help="reads for each definition")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ptolemy-load-") as name, served(Path(name) / "home") as url:
        tally = asyncio.run(press(url, arguments.clients, arguments.seconds, Path(name), arguments.reads))
    requests = sum(tally.statuses.values())
    print(f"{arguments.clients} clients, {arguments.seconds:g} s: {requests} requests answered, ", end="")
    print(f"{requests / arguments.seconds:.0f} a second, by status {dict(tally.statuses)}")
    for method, what in (("GET", "reads"), ("POST", "definitions")):
        median, most, worst = (tally.quantile(method, share) for share in (0.5, 0.99, 1))
        rate = len(tally.seconds[method]) / arguments.seconds
        print(f"{what}: {rate:.0f} a second; seconds: median {median:.3f}, 99% {most:.3f}, most {worst:.3f}")
    print(
        f"projects confirmed {len(tally.confirmed)}, lost {len(tally.lost)}; unanswered {len(tally.unanswered)}"
    )
    for line in tally.unanswered[:10]:
        print(line)
    return 1 if tally.lost or tally.unanswered or set(tally.statuses) != {200} else 0


if __name__ == "__main__":
    raise SystemExit(main())
