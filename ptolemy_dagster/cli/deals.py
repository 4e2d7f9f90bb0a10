"""`ptolemy deals`: planning, making and following deals with storage providers. No Dagster in it."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from ptolemy_core.catalog import Catalog, deals, projects
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.deals import DealState
from ptolemy_core.facts.deals import (
    DealFacts,
    DealHistoryFacts,
    DealPlanFacts,
    DealRoundFacts,
    MadeDealsFacts,
    ReplicationFacts,
)
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import deal
from ptolemy_core.stages.deal import Chosen
from ptolemy_core.stages.deal_round import make_round
from ptolemy_dagster import deal_facts
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.deal_tables import allocations, export
from ptolemy_dagster.cli.stages import Json, Name, open_catalog

HELP = (
    "Plan, propose and follow deals with storage providers.\n\n"
    "What a project wants is in its settings: ptolemy set PROJECT --replicas 2 --providers anna --providers bert "
    "--deal-wallet main --piece-url 'https://HOST/piece/{piece_cid}'. `plan` shows which deals that needs, `make` "
    "makes them, and `track` asks how they are, as Dagster's sensor `deals` does by itself. Wallets are in the "
    "folder wallets of DAGSTER_HOME, in PTOLEMY_WALLETS, or printed by PTOLEMY_WALLET_COMMAND."
)

Pieces = Annotated[
    list[str] | None, typer.Option("--piece", help="Only this piece: any CID of its CAR; repeatable.")
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", help="Only with this provider; repeatable.")
]
Deals = Annotated[list[str], typer.Argument(metavar="DEAL…", help="Deals' IDs, or how they begin.")]
_SHOWN = 20
_BY_HAND = "(marked by hand)"


def _chosen(catalog: Catalog, project: str, pieces: list[str] | None, providers: list[str] | None) -> Chosen:
    named = frozenset(deal.piece_named(catalog, project, text) for text in pieces or [])
    return Chosen(named, tuple(dict.fromkeys(providers or [])))


def plan(project: Name, piece: Pieces = None, provider: Providers = None, as_json: Json = False) -> None:
    """Show which deals a project needs and with whom. Nothing is sent or recorded."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        chosen = _chosen(catalog, project, piece, provider)
        told = deal_facts.plan_facts(project, deal.plan(catalog, project, deal_facts.wallets(), chosen))
    if as_json:
        output.print_facts(told)
    else:
        _show_plan(told)


def make(project: Name, piece: Pieces = None, provider: Providers = None, as_json: Json = False) -> None:
    """Plan deals and send them; those that were sent before are asked for. Run again to go on."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        wallets = deal_facts.wallets()
        chosen = _chosen(catalog, project, piece, provider)
        planned = deal_facts.plan_facts(project, deal.record_plan(catalog, project, wallets, chosen))
        result = make_round(catalog, project, deal_facts.rounds(wallets))
        done = deal_facts.round_facts(project, result)
        state = deal_facts.replication_facts(catalog, project)
    if as_json:
        output.print_facts(MadeDealsFacts(plan=planned, round=done))
    else:
        _show_plan(planned)
        _show_round(done, state)
    if done.problems:
        raise typer.Exit(output.FAILED)


def track(
    project: Name,
    everything: Annotated[
        bool, typer.Option("--all", help="Ask for all deals that aren't over, also those that aren't due.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each deal is active or over.")] = False,
    as_json: Json = False,
) -> None:
    """Ask providers how deals are, and send what wasn't sent yet."""
    with output.errors_shown():
        catalog = open_catalog()
        rounds = deal_facts.rounds(deal_facts.wallets())
        while True:
            done = deal_facts.round_facts(
                project, make_round(catalog, project, rounds, everything=everything or wait)
            )
            live = deals.select(catalog, project=project, live=True)
            if not wait or done.problems or all(row.state == DealState.ACTIVE for row in live):
                break
            time.sleep(rounds.pace.shortest / 12)
        state = deal_facts.replication_facts(catalog, project)
    if as_json:
        output.print_facts(done)
    else:
        _show_round(done, state)
        if not (done.asked or done.away or done.problems):
            _show_why_nothing(project, live, everything or wait)
    if done.problems:
        raise typer.Exit(output.FAILED)


def list_deals(
    project: Name,
    state: Annotated[
        list[str] | None, typer.Option(help=f"Only deals in this state; repeatable: {', '.join(DealState)}.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Only deals that aren't over.")] = False,
    as_json: Json = False,
) -> None:
    """Show a project's deals, CARs marked as delivered by hand, and how many of its pieces have enough deals."""
    with output.errors_shown():
        wanted = {deal.state_named(text) for text in state or []}
        catalog = open_catalog()
        projects.get(catalog, project)
        rows = deals.select(catalog, project=project, live=True if live else None, marks=True)
        found = [DealFacts.of(row) for row in rows if not wanted or row.state in wanted]
        summary = deal_facts.replication_facts(catalog, project)
    if as_json:
        output.print_facts(found)
        return
    if found:
        _show_deals(found)
    _show_replicas(summary)


def show(deal_id: Annotated[str, typer.Argument(metavar="DEAL")], as_json: Json = False) -> None:
    """Show a deal and all that it went through."""
    with output.errors_shown():
        catalog = open_catalog()
        (row,) = deals.named(catalog, deal_id)
        found = DealHistoryFacts.with_history(row, deals.history(catalog, row.id))
    if as_json:
        output.print_facts(found)
        return
    from ptolemy_core.facts.fields import told

    names = [name for name in type(found).model_fields if name != "history"]
    output.print_table(("", ""), list(told(found, *names)))
    output.print_table(
        ("when", "state", "fault", "message"),
        [
            (f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}", one.state, one.fault or "", one.message)
            for one in found.history
        ],
    )


def retry(
    named: Annotated[
        list[str],
        typer.Argument(metavar="DEAL|PROJECT…", help="Deals' IDs, or a project: all its failed deals."),
    ],
) -> None:
    """Let failed deals be tried again, and those that wait be sent or asked for at once; then run make."""
    with output.errors_shown():
        catalog = open_catalog()
        known = set(projects.names(catalog))
        rows: list[DealRow] = []
        for text in named:
            rows += deals.select(catalog, project=text) if text in known else deals.named(catalog, text)
        over, waiting = deal.retry(catalog, rows)
    concerned = sorted({row.project for row in rows} | known.intersection(named))
    output.say(
        f"failed deals that no longer count against their providers: {over:,}; deals due now: {waiting:,}; next: "
        + ", ".join(f"ptolemy deals make {name}" for name in concerned)
    )


def cancel(named: Deals) -> None:
    """Give up deals that aren't active. What a provider has of them stays there."""
    with output.errors_shown():
        catalog = open_catalog()
        for row in [row for text in named for row in deals.named(catalog, text)]:
            deal.cancel(catalog, row)
            output.say(f"deal {row.id} with {row.provider} is cancelled")


def set_state(
    named: Deals,
    state: Annotated[str, typer.Option(help="accepted, transferring, sealing, indexing, active, failed, …")],
    note: Annotated[str, typer.Option(help="For the deal's history.")] = "",
) -> None:
    """Set the state of deals that are made by hand, with providers of the engine manual."""
    with output.errors_shown():
        catalog = open_catalog()
        for row in [row for text in named for row in deals.named(catalog, text)]:
            deal.set_by_hand(catalog, row, state, note)
            output.say(f"deal {row.id} with {row.provider} is {state}")


def expiring(
    project: Name,
    days: Annotated[float, typer.Option(min=0, help="How near the end of a deal is.")] = 60,
    as_json: Json = False,
) -> None:
    """Show active deals that end within so many days; the setting deal_renew_days has them renewed."""
    with output.errors_shown():
        found = [DealFacts.of(row) for row in deal.expiring(open_catalog(), project, days)]
    if as_json:
        output.print_facts(found)
    elif found:
        _show_deals(found)
    else:
        output.say(f"no deal of {project} ends within {days:g} days")


def _show_plan(one: DealPlanFacts) -> None:
    if one.deals:
        rows = [
            (
                f"{each.container:06d}",
                each.piece_cid_v2,
                readable(each.piece_size),
                each.provider,
                each.allocation_id or "",
                each.renews or "",
            )
            for each in one.deals[:_SHOWN]
        ]
        output.print_table(("CAR", "piece CID v2", "piece size", "provider", "allocation", "renews"), rows)
        if len(one.deals) > _SHOWN:
            output.say(f"… and {len(one.deals) - _SHOWN:,} more")
        by_provider = Counter[str]()
        for each in one.deals:
            by_provider[each.provider] += each.piece_size
        said = ", ".join(f"{readable(size)} to {name}" for name, size in sorted(by_provider.items()))
        output.say(f"{counted(len(one.deals), 'deal')} to make: {said}")
    else:
        output.say("no deal to make")
    for short in one.short[:_SHOWN]:
        reasons = "; ".join(short.reasons) or "all of the project's other providers have it"
        output.say(f"CAR {short.container:06d} lacks {counted(short.missing, 'provider')}: {reasons}")
    if len(one.short) > _SHOWN:
        output.say(f"… and {len(one.short) - _SHOWN:,} more without enough providers")
    if one.waiting:
        output.say(f"tried again later, after a failure: {counted(one.waiting, 'piece')}")


def _show_round(one: DealRoundFacts, state: ReplicationFacts) -> None:
    moved = ", ".join(f"{count:,} {name}" for name, count in sorted(one.moved.items())) or "none moved"
    output.say(f"{counted(one.asked, 'deal')} sent or asked for: {moved}")
    for name, reason in sorted(one.away.items()):
        output.say(f"{name}: {reason}")
    for problem in one.problems:
        output.say(problem)
    _show_replicas(state)


def _show_why_nothing(project: str, live: Sequence[DealRow], everything: bool) -> None:
    """Why nothing was sent or asked for."""
    by_hand = [row for row in live if row.engine == deals.MANUAL]
    if len(by_hand) < len(live) and not everything:
        output.say(f"no deal is due yet; ptolemy deals track {project} --all asks for all of them now")
    if any(row.state != DealState.ACTIVE for row in by_hand):
        output.say(
            f"deals with manual providers are made by hand: ptolemy deals export {project} --format boost, then "
            "ptolemy deals set ID --state active"
        )


def _show_replicas(one: ReplicationFacts) -> None:
    if one.replicas is None:
        output.say(f"{one.project} wants no deals yet: ptolemy set {one.project} --replicas N")
        return
    output.say(
        f"pieces with enough active deals ({one.replicas} each): {one.replicated:,} of {one.pieces:,}; "
        f"deals active: {one.active:,}, on their way: {one.on_the_way:,}"
    )


def _show_deals(found: Sequence[DealFacts]) -> None:
    output.print_table(
        ("deal", "piece CID v2", "provider", "state", "since", "ends", "message"),
        [
            (
                one.id,
                one.piece_cid_v2,
                one.provider or _BY_HAND,
                one.state,
                f"{one.changed_at.astimezone():%Y-%m-%d %H:%M:%S}",
                "" if one.ends_at is None else f"{one.ends_at.astimezone():%Y-%m-%d}",
                one.message,
            )
            for one in found
        ],
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "plan": plan,
    "make": make,
    "track": track,
    "list": list_deals,
    "show": show,
    "retry": retry,
    "cancel": cancel,
    "expiring": expiring,
    "set": set_state,
    "export": export,
    "allocations": allocations,
}
