"""A stand-in provider as a process: `python -m tests.provider --folder /tmp/provider --port 9000`."""

import argparse
import signal
import threading
from pathlib import Path

import tests.provider as package
from tests.provider.faults import FAULTS
from tests.provider.rules import Market
from tests.provider.server import ProviderServer


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.provider",
        description=package.__doc__,
        epilog="Faults: " + "; ".join(f"{name}: {text}" for name, text in FAULTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, required=True, help="where it keeps its deals")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--address", action="append", help="of a provider of its cluster; default f01000")
    parser.add_argument("--network", choices=("mainnet", "calibration"), default="mainnet")
    parser.add_argument("--seconds", type=float, default=2.0, help="that each state takes")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="seconds that its clock is ahead")
    parser.add_argument("--rate", type=int, default=50, help="requests a second for each route and address")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="ROUTE=FAULT[*TIMES]",
        help="such as 'POST /deal=500-after*3'",
    )
    options = parser.parse_args()
    addresses = options.address or ["f01000" if options.network == "mainnet" else "t01000"]
    market = Market(providers=tuple(addresses), network=options.network)
    server = ProviderServer(
        options.folder, market, host=options.host, port=options.port, seconds=options.seconds
    )
    server.clock_offset, server.rate = options.clock_offset, options.rate
    for text in options.fault:
        route, _, rest = text.rpartition("=")
        fault, _, times = rest.partition("*")
        try:
            server.faults.add(route, fault, int(times or 1))
        except ValueError as problem:
            parser.error(f"--fault {text}: {problem}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with server:
        print(f"provider {', '.join(addresses)} at {server.url}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
