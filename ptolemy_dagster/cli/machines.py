"""Commands for more than one machine: scheduler, worker, and which workers there are."""

import time
from typing import Annotated

import typer

from ptolemy_core.errors import PtolemyError
from ptolemy_core.facts.projects import WorkerFacts
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, open_catalog
from ptolemy_dagster.machines.settings import PORT, SCHEDULER, parse_address


def scheduler(
    listen: Annotated[
        str,
        typer.Option(
            help="Address to listen on, in a network of your machines only: there is no authentication."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 chooses a free one.")] = PORT,
) -> None:
    """Run the scheduler that worker machines join. Stop it with Ctrl-C or SIGTERM."""
    with output.errors_shown():
        _require_dask()
        from ptolemy_dagster.machines.scheduler import serve

        serve(listen, port, output.say)


def worker(
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler", "-s", envvar=SCHEDULER, help=f"The scheduler's address: tcp://HOST:{PORT}."
        ),
    ],
    builds: Annotated[
        int | None,
        typer.Option(
            "--builds",
            "-n",
            min=1,
            help="CARs built at once; default: PTOLEMY_BUILD_PROCESSES or the number of cores.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of this worker; default: the machine's name.")
    ] = None,
) -> None:
    """Build CARs for a scheduler on this machine, until Ctrl-C or SIGTERM."""
    with output.errors_shown():
        _require_dask()
        from ptolemy_dagster.instance import prepare_home
        from ptolemy_dagster.machines import worker as machine
        from ptolemy_dagster.resources import BUILD_PROCESSES

        address = parse_address(scheduler, "--scheduler")
        prepare_home()
        catalog = open_catalog()
        machine.check_machine(catalog)
        machine.serve(catalog, address, name or machine.default_name(), builds or BUILD_PROCESSES, output.say)


def workers(as_json: Json = False) -> None:
    """List the processes that build CARs or wait for work, on all machines."""
    from ptolemy_core.catalog.workers import list_workers

    with output.errors_shown():
        found = list_workers(open_catalog())
    now = time.time()
    if as_json:
        output.print_facts([WorkerFacts.of(one, now) for one in found])
        return
    if not found:
        output.say("no CAR is being built, and no worker is waiting for work")
        return
    output.print_table(
        ("host", "process", "state", "project", "container", "since", "heartbeat"),
        [
            (
                one.host,
                one.pid,
                "lost" if one.is_lost(now) else "building" if one.project else "ready",
                one.project or "",
                "" if one.container is None else f"{one.container:06d}",
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.started_at)),
                f"{max(0, now - one.heartbeat_at):.0f} s ago",
            )
            for one in found
        ],
    )


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise PtolemyError(
            "this needs Dask, which isn't installed: pip install 'ptolemy[cluster]' on each machine"
        ) from None
