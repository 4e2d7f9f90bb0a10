"""All commands, assembled. Dagster is imported only by those that need it: `ptolemy cid` stays quick."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import typer

from ptolemy_dagster.cli import (
    dataset,
    delivery,
    ending,
    extract,
    identify,
    keys,
    lookup,
    machines,
    output,
    records,
    restore,
    serve,
    settings,
    stages,
    streams,
)

app = typer.Typer(
    name="ptolemy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Folders of any size become verified Filecoin pieces.\n\n"
    "A project goes create -> scan -> containerize -> blitz; `run` does the last three and verifies. "
    "Every stage may be run again: it does what is left to do. State is in ~/.ptolemy (or DAGSTER_HOME), or in "
    "the Postgres of PTOLEMY_PG_URL.",
)

_COMMANDS: dict[str, Callable[..., None]] = {
    "create": stages.create,
    "set": settings.set_command,
    "scan": stages.scan,
    "containerize": stages.containerize,
    "blitz": stages.blitz,
    "run": stages.run,
    "verify": stages.verify,
    "status": lookup.status,
    "cars": lookup.cars_command,
    "find": lookup.find,
    "changes": records.changes,
    "history": records.history,
    "skipped": records.skipped,
    "restore": restore.restore,
    "extract": extract.extract_command,
    "release": delivery.release,
    "delete-source": delivery.delete_source,
    "deleted": delivery.deleted,
    "root": dataset.root,
    "manifest": dataset.manifest,
    "cid": identify.cid_command,
    "commp": identify.commp_command,
    "scheduler": machines.scheduler,
    "worker": machines.worker,
    "workers": machines.workers,
    "serve": serve.serve,
    "web-ui": serve.web_ui,
}


def _with_json_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The same command; given --json, it also shows errors as JSON."""

    @wraps(command)
    def run(**given: Any) -> None:
        with output.json_errors(bool(given.get("as_json"))):
            command(**given)

    return run


def _add(group: typer.Typer, commands: Mapping[str, Callable[..., None]]) -> None:
    for name, command in commands.items():
        group.command(name)(ending.ends_well(name, _with_json_errors(command)))


_add(app, _COMMANDS)
_keys = typer.Typer(no_args_is_help=True, help=keys.HELP)
_add(_keys, keys.COMMANDS)
app.add_typer(_keys, name="keys")


def main() -> None:
    """Entry point."""
    streams.prepare()
    try:
        with ending.errors_told():
            try:
                app()
            finally:
                sys.stdout.flush()
    except typer.Exit as end:
        sys.exit(end.exit_code)
