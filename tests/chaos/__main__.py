"""The command line of chaos."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ptolemy_core.project import Project
from ptolemy_dagster.instance import prepare_home
from tests.chaos import small, stack
from tests.chaos.drive import KINDS, Driver
from tests.pipeline import postgres
from tests.pipeline.backend import Backend, environment, in_process


def make_target(folder: Path, containers: int, seed: int = 5) -> Path:
    """A folder of random files whose plan has about so many containers."""
    random = np.random.default_rng(seed)
    for number in range(6 * containers):
        path = folder / f"part-{number % 5}" / f"{number:04d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.bytes(int(small.CAR_BYTES / 6.5)))
    return folder


def enter(root: Path, url: str | None) -> Backend:
    """A home below `root`, also for this process."""
    env = environment(root, url)
    os.environ.update({key: env[key] for key in ("DAGSTER_HOME", "PTOLEMY_BUILD_PROCESSES")})
    os.environ.pop("PTOLEMY_PG_URL", None)
    if url:
        os.environ["PTOLEMY_PG_URL"] = url
    prepare_home()
    return Backend(root, env)


def main() -> int:
    """Run; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-round", type=int, default=5, help="kills in each project")
    parser.add_argument("--containers", type=int, default=8)
    parser.add_argument("--storage", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--only", action="append", choices=list(KINDS), help="kill only this; more than once")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is ended too
    Project.car_bytes = small.car_bytes  # type: ignore[method-assign]
    started = time.monotonic()
    with ExitStack() as cleanup:
        root = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ptolemy-chaos-")))
        server = cleanup.enter_context(postgres.running()) if given.storage == "postgres" else None
        backend = enter(root, server.database() if server else None)
        cleanup.callback(backend.close)
        target = make_target(root / "target", given.containers)
        backend.define("calm", target)
        with backend.instance() as instance:
            in_process("onboard", "calm", instance)
        calm = backend.cars("calm")
        running = cleanup.enter_context(stack.running(backend))
        kinds = given.only or list(KINDS)
        driver = Driver(backend, running, server, target, calm, given.seed, kinds)
        while driver.tally.kills.total() < given.kills and not driver.tally.problems:
            driver.round(min(given.per_round, given.kills - driver.tally.kills.total()))
            print(
                f"{time.monotonic() - started:.0f} s: {driver.tally.rounds} rounds, "
                f"{driver.tally.kills.total()} kills, problems: {driver.tally.problems}",
                file=sys.stderr,
                flush=True,
            )
        print(json.dumps(driver.tally.facts() | {"seconds": round(time.monotonic() - started)}, indent=1))
        if driver.tally.problems:
            keep = Path(tempfile.mkdtemp(prefix="ptolemy-chaos-logs-"))
            for log in root.glob("*.log"):
                log.rename(keep / log.name)
            print(f"logs: {keep}", file=sys.stderr)
    return 1 if driver.tally.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
