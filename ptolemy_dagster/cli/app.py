"""All commands, assembled. Dagster is imported only by those that need it: `ptolemy cid` stays quick."""

from collections.abc import Callable

import typer

from ptolemy_dagster.cli import (
    dataset,
    delivery,
    extract,
    identify,
    keys,
    lookup,
    machines,
    records,
    restore,
    serve,
    settings,
    stages,
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
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Entry point."""
    app()
