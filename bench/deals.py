"""Planning and tracking many deals: `python -m bench.deals --pieces 10000 --providers 20`.

Pieces are rows of a catalog in a temporary folder; providers answer within this process, without a network. It prints
the time of planning and recording, of sending, of one round of tracking, the requests of each, and the memory.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ptolemy_core.catalog import Catalog, projects, providers
from ptolemy_core.catalog import deals as rows
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.commp import piece_cid_v1, piece_cid_v2
from ptolemy_core.deals import DealState, Proposal, Provider, Pull, Report, Terms
from ptolemy_core.keys.wallets import Wallets, WalletText
from ptolemy_core.project import parse_project
from ptolemy_core.stages.deal import plan, record_plan
from ptolemy_core.stages.deal_round import Pace, Rounds, make_round
from ptolemy_core.stages.scan import scan

_REPLICAS = 2
_SIZE = 31 << 30


class CountingEngine:
    """An engine that accepts everything at once, and counts."""

    name = "curio"

    def __init__(self) -> None:
        self.requests = 0

    def accepts(self, provider: Provider, wallet: str) -> Terms:
        """Everything that is pulled."""
        return Terms(frozenset({Pull}))

    def propose(self, proposal: Proposal, *, sent: bool) -> Report:
        """Accept it."""
        proposal.check()
        self.requests += 1
        return Report(DealState.ACCEPTED)

    def status(self, proposal: Proposal) -> Report:
        """It is being sealed."""
        self.requests += 1
        return Report(DealState.SEALING)


def fill(catalog: Catalog, folder: Path, pieces: int) -> None:
    """A project with so many built CARs."""
    (folder / "data").mkdir()
    settings = {"name": "many", "target_dir": str(folder / "data"), "staging_dir": str(folder / "cars")}
    (folder / "data" / "file").write_bytes(b"of a project that was scanned")
    projects.create(catalog, parse_project(settings))
    scan(catalog, "many")
    containers, cars = [], []
    for number in range(pieces):
        root = number.to_bytes(31, "big") + b"\0"
        sizes = {"car_size": _SIZE, "piece_size": 32 << 30}
        containers.append(
            {"id": number + 1, "project": "many", "number": number, "items": 1, "data_bytes": _SIZE}
            | sizes
            | {"planned_at": 1.0}
        )
        cars.append(
            {
                "container_id": number + 1,
                "file_name": f"{number}.car",
                "payload_cid": b"\1\x70\x12\x20" + root,
            }
            | {"piece_cid_v1": piece_cid_v1(root), "piece_cid_v2": piece_cid_v2(root, _SIZE)}
            | sizes
            | {"built_at": 1.0, "build_seconds": 1.0}
        )
    with catalog.write() as connection:
        connection.execute(container.insert(), containers)
        connection.execute(car.insert(), cars)


def timed(what: str, work: Callable[[], object]) -> None:
    """Do something, and print how long it took."""
    began = time.perf_counter()
    work()
    print(f"{what:40} {time.perf_counter() - began:8.2f} s", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=10_000)
    parser.add_argument("--providers", type=int, default=20)
    parser.add_argument("--catalog", help="SQLAlchemy's URL; default: SQLite in a temporary folder")
    options = parser.parse_args()
    wallets = Wallets([WalletText("main=secp256k1:" + "01" * 32, "a benchmark")])
    engine = CountingEngine()
    rounds = Rounds(lambda _: engine, Pace(shortest=0.0, longest=0.0), pause=lambda _: None)
    with tempfile.TemporaryDirectory() as name:
        catalog = Catalog(options.catalog or f"sqlite:///{name}/catalog.db")
        fill(catalog, Path(name), options.pieces)
        names = [f"p{number}" for number in range(options.providers)]
        for number, one in enumerate(names):
            row = ProviderRow(one, "curio", "mainnet", f"f0{1000 + number}", "https://p.example", rate=1000)
            providers.add(catalog, row)
        settings = {"replicas": _REPLICAS, "providers": names, "deal_wallet": "main"}
        projects.change(catalog, "many", settings | {"piece_url": "https://x.example/{piece_cid}"})
        print(f"{options.pieces:,} pieces, {_REPLICAS} replicas, {options.providers} providers")
        timed("plan", lambda: plan(catalog, "many", wallets))
        timed("plan and record", lambda: record_plan(catalog, "many", wallets))
        timed("send", lambda: make_round(catalog, "many", rounds))
        print(f"{'requests':40} {engine.requests:8,}")
        engine.requests = 0
        timed("one round of tracking", lambda: make_round(catalog, "many", rounds))
        count = len(rows.select(catalog, project="many"))
        print(f"{'requests':40} {engine.requests:8,} for {count:,} deals")
        timed("plan with all deals made", lambda: plan(catalog, "many", wallets))
        catalog.engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'memory, at most':40} {peak:8.0f} MiB")


if __name__ == "__main__":
    main()
