"""Where the scheduler is, and how soon a lost machine is noticed."""

import os

from ptolemy_core.errors import SettingsError

SCHEDULER = "PTOLEMY_SCHEDULER"
"""The environment variable with the scheduler's address; without it a run stays on its own machine."""

PORT = 8786

DASK = {
    # a silent machine is given up by the kernel's probes after 20 s, or at latest by its missing heartbeats
    "distributed.comm.timeouts.tcp": "20s",
    "distributed.comm.timeouts.connect": "10s",
    "distributed.scheduler.worker-ttl": "30s",
    # a step is no suspect because machines were lost under it: builds are processes of their own
    "distributed.scheduler.allowed-failures": 10,
    # steps' data is in files and in the catalog, none in Dask's workers
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
"""Settings of scheduler, workers and runs alike."""


def scheduler_address() -> str | None:
    """The scheduler's address that the environment names.

    Raises:
        SettingsError: it isn't one.
    """
    address = os.environ.get(SCHEDULER)
    return parse_address(address, SCHEDULER) if address else None


def parse_address(address: str, name: str) -> str:
    """A scheduler's address, with its scheme and port.

    Raises:
        SettingsError: it isn't one.
    """
    scheme, found, place = address.rpartition("://")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, str(PORT)
    if (found and scheme not in ("tcp", "tls")) or not host or not port.isdecimal() or "/" in host:
        raise SettingsError(f"{name} must look like tcp://HOST:{PORT}, got {address!r}")
    return f"{scheme or 'tcp'}://{host}:{port}"
