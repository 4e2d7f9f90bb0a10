"""`ptolemy providers`: the storage providers that deals are made with."""

import re
from collections.abc import Callable
from typing import Annotated

import typer

from ptolemy_core import address as addresses
from ptolemy_core import url_template
from ptolemy_core.catalog import deal_counts, providers
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.deals.engines import check_name, engines_with
from ptolemy_core.deals.proposal import provider_of
from ptolemy_core.errors import DealError, SettingsError
from ptolemy_core.facts.deals import CheckedProviderFacts, ProviderFacts
from ptolemy_core.project import NAME_PATTERN
from ptolemy_core.sizes import readable
from ptolemy_core.stages.deal_proposal import provider_value
from ptolemy_dagster import deal_facts
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, open_catalog

HELP = (
    "Manage storage providers.\n\n"
    "A provider gets a name here, by which projects name it: ptolemy set PROJECT --providers NAME. The engine curio "
    "speaks Curio's Market 2.0; with the engine manual, deals are made by other tools, and their states set by hand."
)

Name = Annotated[str, typer.Argument(help="The provider's name here.")]
Address = Annotated[
    str, typer.Option(help="Its actor: f01234 on mainnet, t01234 on the test network calibration.")
]
PlainHttp = Annotated[
    bool,
    typer.Option("--plain-http", help="Allow http:// to another machine; others can then read signed URLs."),
]
RetrievalUrl = Annotated[
    str | None,
    typer.Option(
        help="Where a piece can be fetched from it, with {piece_cid} or {piece_cid_v1}; by default below --url."
    ),
]
MaxPending = Annotated[int | None, typer.Option(min=1, help="Deals that may be on their way at once.")]
MaxPendingGib = Annotated[
    int | None, typer.Option(min=1, help="Padded GiB that may be on their way at once.")
]
MaxTotalGib = Annotated[int | None, typer.Option(min=1, help="Padded GiB that it may have in all.")]
_GIB = 1 << 30


def add(
    name: Name,
    address: Address,
    engine: Annotated[str, typer.Option(help="curio or manual.")] = "curio",
    url: Annotated[str, typer.Option(help="Of its HTTP API, such as https://provider.example.")] = "",
    plain_http: PlainHttp = False,
    retrieval_url: RetrievalUrl = None,
    max_pending: MaxPending = None,
    max_pending_gib: MaxPendingGib = None,
    max_total_gib: MaxTotalGib = None,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Requests a second.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Add a provider, or change the settings of one that is there."""
    with output.errors_shown():
        if not re.fullmatch(NAME_PATTERN, name):
            raise SettingsError(
                f"a provider's name is 1 to 63 letters, digits, - or _, starting with a letter or digit, got {name!r}"
            )
        network = addresses.parse(address).network
        value = provider_of(address, network, url, plain_http)
        if check_name(engine) == "curio" and not value.url:
            raise SettingsError(f"provider {name!r} needs --url: the engine curio speaks to it over HTTP")
        if retrieval_url is not None:
            _check_template(retrieval_url)
        row = ProviderRow(
            name=name,
            engine=engine,
            network=network,
            address=str(value.address),
            url=value.url,
            plain_http=plain_http,
            retrieval_url=retrieval_url,
            max_pending=max_pending,
            max_pending_bytes=None if max_pending_gib is None else max_pending_gib * _GIB,
            max_total_bytes=None if max_total_gib is None else max_total_gib * _GIB,
            rate=rate,
        )
        catalog = open_catalog()
        new = providers.add(catalog, row)
        found = providers.get(catalog, name)
    if as_json:
        output.print_facts(ProviderFacts.of(found, deal_counts.loads(catalog).get(name, Load())))
    else:
        output.say(f"provider {name} ({address}) is {'added' if new else 'changed'}")


def _check_template(template: str) -> None:
    try:
        url_template.check("--retrieval-url", template)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def list_providers(as_json: Json = False) -> None:
    """Show all providers, what they have, and which don't answer."""
    with output.errors_shown():
        catalog = open_catalog()
        loads = deal_counts.loads(catalog)
        found = [ProviderFacts.of(row, loads.get(row.name, Load())) for row in providers.rows(catalog)]
    if as_json:
        output.print_facts(found)
        return
    if not found:
        output.say("there are no providers; ptolemy providers add NAME adds one")
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
    name: Annotated[list[str] | None, typer.Argument(help="Providers' names; default: all.")] = None,
    wallet: Annotated[str, typer.Option(help="Alias of the wallet that asks.")] = "main",
    as_json: Json = False,
) -> None:
    """Ask providers what they take, in the name of a wallet. Exit code 1 if one can't be used."""
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
    else:
        output.print_table(
            ("provider", "takes", "problem"),
            [(one.name, ", ".join(one.sources), one.message) for one in told],
        )
    if not all(one.ok for one in told):
        raise typer.Exit(output.FAILED)


def remove(name: Name) -> None:
    """Forget a provider that never had a deal."""
    with output.errors_shown():
        providers.remove(open_catalog(), name)
    output.say(f"provider {name} is removed")


COMMANDS: dict[str, Callable[..., None]] = {
    "add": add,
    "list": list_providers,
    "check": check,
    "remove": remove,
}
