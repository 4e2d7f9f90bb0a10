"""`ptolemy providers`: the storage providers that deals are made with."""

from collections.abc import Callable
from typing import Annotated

import typer

from ptolemy_core.catalog import deal_counts, providers
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.deals.engines import engines_with
from ptolemy_core.errors import DealError
from ptolemy_core.facts.deals import CheckedProviderFacts, ProviderFacts
from ptolemy_core.sizes import readable
from ptolemy_core.stages.deal_proposal import provider_value
from ptolemy_core.stages.provider_settings import put_provider
from ptolemy_dagster import deal_facts
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, open_catalog

HELP = (
    "Manage storage providers.\n\n"
    "Projects refer to a provider by the name that it gets here: ptolemy set PROJECT --providers NAME. The "
    "engine curio "
    "speaks Curio's Market 2.0; with the engine manual you make deals with other tools and set their states yourself."
)

Name = Annotated[str, typer.Argument(help="The provider's name.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Its actor address: f01234 on mainnet, t01234 on the calibration test network; required for a new "
        "provider."
    ),
]
PlainHttp = Annotated[
    bool | None,
    typer.Option(
        "--plain-http/--no-plain-http",
        help="Allow http:// to another machine; others can then read signed URLs.",
    ),
]
RetrievalUrl = Annotated[
    str | None,
    typer.Option(help="URL to fetch a piece from, with {piece_cid} or {piece_cid_v1}; empty: below --url."),
]
MaxPending = Annotated[int | None, typer.Option(min=0, help="Maximum number of pending deals; 0: no limit.")]
MaxPendingGib = Annotated[
    int | None, typer.Option(min=0, help="Maximum padded GiB of pending deals; 0: no limit.")
]
MaxTotalGib = Annotated[
    int | None, typer.Option(min=0, help="Maximum padded GiB of all its deals; 0: no limit.")
]
_GIB = 1 << 30
_NO_PROVIDERS = "there are no providers; ptolemy providers add NAME adds one"


def add(
    name: Name,
    address: Address = None,
    engine: Annotated[
        str | None, typer.Option(help="curio or manual; default for a new provider: curio.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="URL of its HTTP API, such as https://provider.example.")
    ] = None,
    plain_http: PlainHttp = None,
    retrieval_url: RetrievalUrl = None,
    max_pending: MaxPending = None,
    max_pending_gib: MaxPendingGib = None,
    max_total_gib: MaxTotalGib = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Requests per second; default for a new provider: 10."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a provider, or change an existing one: options that aren't given keep their values."""
    given = {
        "address": address,
        "engine": engine,
        "url": url,
        "plain_http": plain_http,
        "retrieval_url": retrieval_url,
        "max_pending": max_pending,
        "max_pending_bytes": None if max_pending_gib is None else max_pending_gib * _GIB,
        "max_total_bytes": None if max_total_gib is None else max_total_gib * _GIB,
        "rate": rate,
    }
    with output.errors_shown():
        catalog = open_catalog()
        done = put_provider(catalog, name, given)
        loads = deal_counts.loads(catalog)
    if as_json:
        output.print_facts(ProviderFacts.of(done.row, loads.get(name, Load())))
        return
    who = f"provider {name} ({done.row.address})"
    if done.new:
        output.say(f"{who} is added")
    elif not done.changes:
        output.say(f"{who} is unchanged")
    for key, (old, new) in done.changes.items():
        output.say(f"{who}: {key.replace('_', ' ')} was {_said(key, old)}, is {_said(key, new)}")


def _said(key: str, value: object) -> str:
    if value is None:
        return "the usual one" if key == "retrieval_url" else "without limit"
    if isinstance(value, bool):
        return "on" if value else "off"
    if key.endswith("_bytes") and isinstance(value, int):
        return readable(value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def list_providers(as_json: Json = False) -> None:
    """List all providers with their deals and limits, and which don't answer."""
    with output.errors_shown():
        catalog = open_catalog()
        loads = deal_counts.loads(catalog)
        found = [ProviderFacts.of(row, loads.get(row.name, Load())) for row in providers.rows(catalog)]
    if as_json:
        output.print_facts(found)
        return
    if not found:
        output.say(_NO_PROVIDERS)
        return
    output.print_table(
        ("provider", "engine", "address", "URL", "pending", "bytes", "limits", "away since", "reason"),
        [
            (
                one.name,
                one.engine,
                one.address,
                one.url,
                f"{one.pending:,}",
                readable(one.total_bytes),
                _limits(one),
                "" if one.away_since is None else f"{one.away_since.astimezone():%Y-%m-%d %H:%M:%S}",
                one.away_reason or "",
            )
            for one in found
        ],
    )


def _limits(one: ProviderFacts) -> str:
    parts = []
    if one.max_pending is not None:
        parts.append(f"{one.max_pending:,} pending")
    if one.max_pending_bytes is not None:
        parts.append(f"{readable(one.max_pending_bytes)} pending")
    if one.max_total_bytes is not None:
        parts.append(f"{readable(one.max_total_bytes)} in all")
    return ", ".join(parts)


def check(
    name: Annotated[list[str] | None, typer.Argument(help="Names of providers; default: all.")] = None,
    wallet: Annotated[str, typer.Option(help="Alias of the wallet.")] = "main",
    as_json: Json = False,
) -> None:
    """Ask providers which deals they accept from a wallet. Exit code 1 if one can't be used."""
    with output.errors_shown():
        catalog = open_catalog()
        found = deal_facts.wallets()
        engines = engines_with(found)
        told = []
        for row in providers.rows(catalog, name or None):
            try:
                terms = engines(row.engine).accepts(provider_value(row), wallet)
            except DealError as error:
                told.append(CheckedProviderFacts(name=row.name, ok=False, sources=[], message=str(error)))
                continue
            sources = sorted(kind.__name__.lower() for kind in terms.sources)
            told.append(CheckedProviderFacts(name=row.name, ok=True, sources=sources, message=""))
    if as_json:
        output.print_facts(told)
    elif not told:
        output.say(_NO_PROVIDERS)
    else:
        output.print_table(
            ("provider", "takes", "problem"),
            [(one.name, ", ".join(one.sources), one.message) for one in told],
        )
    if not all(one.ok for one in told):
        raise typer.Exit(output.FAILED)


def remove(name: Name) -> None:
    """Remove a provider that never had a deal."""
    with output.errors_shown():
        providers.remove(open_catalog(), name)
    output.say(f"provider {name} is removed")


COMMANDS: dict[str, Callable[..., None]] = {
    "add": add,
    "list": list_providers,
    "check": check,
    "remove": remove,
}
