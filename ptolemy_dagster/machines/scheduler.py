"""The scheduler: hands steps to workers, notices lost ones, and gives their steps to others."""

import asyncio
import signal
from collections.abc import Callable

from ptolemy_core.errors import PtolemyError
from ptolemy_dagster.machines.settings import DASK


def serve(listen: str, port: int, say: Callable[[str], None]) -> None:
    """Run a scheduler until SIGTERM or SIGINT.

    Args:
        listen: the address that workers and runs reach it by; "0.0.0.0" for any of the machine's.
        port: 0 chooses a free one.
        say: told of what happens.

    Raises:
        PtolemyError: it can't listen there.
    """
    asyncio.run(_serve(listen, port, say))


async def _serve(listen: str, port: int, say: Callable[[str], None]) -> None:
    import dask
    from distributed import Scheduler

    dask.config.set(DASK)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        scheduler = await Scheduler(host=listen, port=port, protocol="tcp", dashboard=False)
    except RuntimeError as error:  # Dask's, around the socket's
        raise PtolemyError(
            f"the scheduler can't listen at {listen}:{port} ({error.__cause__ or error}): "
            "choose another --listen or --port, or stop the program that listens there"
        ) from error
    say(f"scheduler at {scheduler.address}")
    await stop.wait()
    await scheduler.close(reason="stopped")
