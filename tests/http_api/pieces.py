"""`ptolemy serve-pieces` as a process, over projects that are built without Dagster."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ptolemy_core.catalog import Catalog, cars, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.project import parse_project
from ptolemy_core.stages.blitz import Building, build_container, pending
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from tests.pipeline.backend import REPOSITORY

MIB = 1 << 20


@dataclass
class Home:
    """A home with projects over one source folder."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PTOLEMY_", "DAGSTER_", "PG"))}
        self.env = kept | {
            "DAGSTER_HOME": str(self.root / "home"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")])),
            "PYTHONWARNINGS": "ignore",
        }
        self.source.mkdir(parents=True)
        (self.root / "home").mkdir()
        self.catalog = Catalog(f"sqlite:///{self.root}/home/catalog.db")

    @property
    def source(self) -> Path:
        return self.root / "source"

    def staging(self, name: str) -> Path:
        return self.root / "staging" / name

    def build(self, name: str, **settings: object) -> list[CarRow]:
        """Define a project over the source, and build its CARs."""
        fixed = {"name": name, "target_dir": str(self.source), "staging_dir": str(self.staging(name))}
        usual = {"car_size": 1, "public_pieces": True}
        projects.create(self.catalog, parse_project({**fixed, **usual, **settings}))
        scan(self.catalog, name)
        containerize(self.catalog, name)
        for row in pending(self.catalog, name):
            build_container(self.catalog, name, row.number, Building())
        return list(cars.rows(self.catalog, name))

    def ptolemy(self, *arguments: str, **env: str) -> str:
        """What a command of Ptolemy prints."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.env | env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


COMMAND = [sys.executable, "-c", "from ptolemy_dagster.cli import main; main()"]


@dataclass
class Server:
    """A running piece server, its address, and what it wrote to standard error so far."""

    process: "subprocess.Popen[str]"
    url: str
    log: list[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def piece(self, row: CarRow, version: int = 1) -> str:
        wanted = row.piece_cid_v1 if version == 1 else row.piece_cid_v2
        return f"{self.url}/piece/{cid.to_text(wanted)}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


class Environment(Protocol):
    """What a process is started in: a home here, or another host's."""

    env: dict[str, str]


@contextmanager
def serving(
    home: Environment, *options: str, port: int = 0, before: Sequence[str] = (), **env: str
) -> Iterator[Server]:
    """A piece server while the block lasts; `before` is put before its command."""
    process = subprocess.Popen(
        [*before, *COMMAND, "serve-pieces", "--port", str(port), *options],
        env=home.env | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: log.extend(iter(stderr.readline, "")), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[^/\s]+", line)
        assert found, line + "".join(log)
        yield Server(process, found[0], log)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.stdout.close()
            reader.join(10)


def curl(*arguments: str, fails: bool = False) -> tuple[int, str]:
    """Run curl; its exit code and what it printed. It must succeed, or fail."""
    done = subprocess.run(["curl", "-sS", "--max-time", "120", *arguments], capture_output=True, timeout=150)
    assert (done.returncode != 0) == fails, done.stderr
    return done.returncode, done.stdout.decode("utf-8", "replace")


def status_of(url: str, *arguments: str) -> int:
    """The status that curl gets, whatever the body."""
    return int(curl("-o", os.devnull, "-w", "%{http_code}", *arguments, url)[1])


def headers_of(url: str, *arguments: str) -> dict[str, str]:
    """The headers of an answer, names in lower case; `status` is its status."""
    text = curl("-D", "-", "-o", os.devnull, *arguments, url)[1]
    first, *lines = text.strip().splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {"status": first.split()[1], **{name.lower(): value.strip() for name, _, value in pairs}}
