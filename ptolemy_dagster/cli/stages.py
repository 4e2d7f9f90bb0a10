"""Commands that define a project and run its stages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ptolemy_core import urls
from ptolemy_core.catalog import Catalog, cars, containers, place, projects, roots, scans, shards, skipped
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.errors import PtolemyError
from ptolemy_core.facts.cars import PlannedCarFacts, RootFacts
from ptolemy_core.facts.files import NotStoredFacts
from ptolemy_core.facts.projects import Created, LeftOutFacts, RunFacts, ScanFacts, VerifiedFacts
from ptolemy_core.padding import padding_warning
from ptolemy_core.project import parse_project
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import scan as scan_stage
from ptolemy_core.stages.car_state import is_away
from ptolemy_core.stages.containerize import containerize as plan_containers
from ptolemy_core.stages.deal_settings import wallet_warning
from ptolemy_core.stages.manifest import written_manifest
from ptolemy_core.stages.order import Stage, Until, nothing_to_store, require
from ptolemy_dagster import lost_cars
from ptolemy_dagster.cli import output, waiting
from ptolemy_dagster.cli.car_table import car_facts, show_cars
from ptolemy_dagster.cli.idle import nothing_to_do
from ptolemy_dagster.cli.options import creating
from ptolemy_dagster.roots import environment_roots, require_inside
from ptolemy_dagster.run_config import scan_config

Name = Annotated[str, typer.Argument(help="The project's name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def open_catalog() -> Catalog:
    """The catalog that the environment names.

    Raises:
        PtolemyError: it can't be opened.
    """
    from sqlalchemy.exc import SQLAlchemyError

    place.require_plain(place.home())
    try:
        return Catalog()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise PtolemyError(
            f"the catalog can't be opened: {reason}; check PTOLEMY_PG_URL or DAGSTER_HOME"
        ) from None


@creating
def create(project: Name, *, as_json: Json = False, **settings: Any) -> None:
    """Create a project. Repeating it with the same settings changes nothing."""
    from ptolemy_dagster.instance import open_instance
    from ptolemy_dagster.partitions import define

    with output.errors_shown():
        folders = {name: urls.absolute(settings[name]) for name in ("target_dir", "staging_dir")}
        defined = parse_project({"name": project} | settings | folders)
        instance = open_instance()
        new = define(open_catalog(), instance, defined)
        warnings = (padding_warning(defined.car_size), wallet_warning(defined))
    for warning in filter(None, warnings):
        output.say(f"warning: {warning}")
    if as_json:
        output.print_json(Created(**defined.model_dump(), created=new).model_dump())
    else:
        output.say(
            f"project {project} {'created' if new else 'already exists with these settings'}; "
            f"next: ptolemy run {project}"
        )


AcceptLoss = Annotated[
    bool,
    typer.Option(
        "--accept-loss",
        help="Scan even if target-dir is empty, on another file system than at the last scan, or has lost more "
        "than max-loss percent of its entries.",
    ),
]


def scan(project: Name, accept_loss: AcceptLoss = False, as_json: Json = False) -> None:
    """Record the entries of the target folder in the catalog."""
    catalog = run_stage("scan", project, as_json, scan_config(accept_loss))
    result = scan_stage.summary(catalog, project)
    if as_json:
        output.print_facts(_scan_facts(project, result))
    else:
        _show_scan(catalog, project, result)


def _show_scan(catalog: Catalog, project: str, result: scan_stage.ScanResult) -> None:
    output.print_table(
        ("files", "data", "largest file", "links", "empty folders", "left out"),
        [
            (
                f"{result.files:,}",
                readable(result.data_bytes),
                readable(result.largest),
                f"{result.links:,}",
                f"{result.empty_folders:,}",
                f"{result.left_out:,}",
            )
        ],
    )
    for said in lost_cars.dead(result.dead):
        output.say(f"warning: {said}")
    for path, reason in result.left_out_sample:
        output.say(f"left out: {path}: {reason}")
    if result.left_out > len(result.left_out_sample):
        output.say(
            f"and {result.left_out - len(result.left_out_sample):,} more: ptolemy skipped {project} --current"
        )
    if result.is_empty:
        output.say(nothing_to_store(catalog, project, projects.get(catalog, project).target_dir))


def _scan_facts(project: str, result: scan_stage.ScanResult) -> ScanFacts:
    """What the catalog knows of a scan: `ptolemy changes` says what was new in it."""
    return ScanFacts(
        project=project,
        files=result.files,
        empty_files=result.empty_files,
        links=result.links,
        empty_folders=result.empty_folders,
        left_out=result.left_out,
        data_bytes=result.data_bytes,
        largest=result.largest,
        left_out_sample=[LeftOutFacts(path=path, reason=reason) for path, reason in result.left_out_sample],
        not_stored=NotStoredFacts.of(result.not_stored),
        dead=lost_cars.dead(result.dead),
        empty=result.is_empty,
    )


def _say_not_stored(catalog: Catalog, project: str) -> None:
    """Say what of the project is in no CAR, if there is anything."""
    found = skipped.not_stored(catalog, project)
    if found.total:
        output.say(f"warning: {found}: ptolemy skipped {project} --current")
    if found.own:
        output.say(f"Ptolemy's own folders and files in target_dir are left out: {found.own:,}")


def containerize(
    project: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; save nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Plan containers; each CAR's exact size is known before any data is read."""
    if not dry_run:
        _show_saved_plan(run_stage("containerize", project, as_json), project, as_json)
        return
    with output.errors_shown():
        result = plan_containers(open_catalog(), project, dry_run=True)
    _show_plan(result.containers, result.warning, result.empty, as_json)
    if not as_json:
        if not (result.containers or result.empty):
            output.say(f"nothing to do: every file of {project} is in a container")
        output.say("dry run: nothing was saved")


def _show_saved_plan(catalog: Catalog, project: str, as_json: bool) -> None:
    settings, rows = projects.get(catalog, project), containers.rows(catalog, project)
    is_empty = not rows and not scans.has_entries(catalog, project)
    empty = nothing_to_store(catalog, project, settings.target_dir) if is_empty else None
    _show_plan(rows, padding_warning(settings.car_size), empty, as_json)


def _show_plan(rows: Sequence[ContainerRow], warning: str | None, empty: str | None, as_json: bool) -> None:
    if warning:
        output.say(f"warning: {warning}")
    if as_json:
        output.print_facts([PlannedCarFacts.of(row) for row in rows])
        return
    _show_containers(rows)
    if empty:
        output.say(empty)
    if any(row.car_storage == cars.GENERATED and not row.built for row in rows):
        output.say("CARs that aren't built yet will be generated: staging_dir gets their outlines only")


def _show_containers(rows: Sequence[ContainerRow]) -> None:
    if not rows:
        return
    output.print_table(
        ("container", "items", "data", "CAR size", "piece size", "padding", "built"),
        [
            (
                f"{row.number:06d}",
                f"{row.items:,}",
                readable(row.data_bytes),
                readable(row.car_size),
                readable(row.piece_size),
                f"{row.padding / row.piece_size:.1%}",
                "yes" if row.built else "",
            )
            for row in rows
        ],
    )


def blitz(
    project: Name,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Serial: wait while staging-dir is full, until all CARs are built."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Build all CARs that aren't built yet; in a serial project, as many as fit staging-dir."""
    catalog = run_stage("blitz", project, as_json)
    with output.errors_shown():
        while wait and waiting.until_room(catalog, project):
            run_stage("blitz", project, as_json)
        show_cars(catalog, project, as_json)
        _say_not_stored(catalog, project)
        waiting.say(catalog, project)


def run(
    project: Name,
    until: Annotated[
        Until,
        typer.Option(
            "--until", help=f"The last stage to run: {', '.join(Until)}. A later run does the others."
        ),
    ] = Until.MANIFEST,
    accept_loss: AcceptLoss = False,
    as_json: Json = False,
) -> None:
    """Scan, containerize, blitz and verify; then make the root of the data set and the manifest."""
    catalog = run_stage(until.job, project, as_json, scan_config(accept_loss))
    with output.errors_shown():
        if as_json:
            output.print_facts(_run_facts(catalog, project, until))
        elif until is Until.SCAN:
            _show_scan(catalog, project, scan_stage.summary(catalog, project))
        elif until is Until.CONTAINERIZE:
            _show_saved_plan(catalog, project, as_json)
        else:
            show_cars(catalog, project, as_json)
            if Stage.MANIFEST in until.stages and (
                manifest := written_manifest(projects.get(catalog, project))
            ):
                output.say(f"manifest is {manifest}")
            _say_not_stored(catalog, project)
        if Stage.BLITZ in until.stages:
            waiting.say(catalog, project)


def _run_facts(catalog: Catalog, project: str, until: Until) -> RunFacts:
    """What a run has made; the root and the manifest may be older than its CARs if it ended before them."""
    root = next(roots.rows(catalog, project), None) if Stage.ROOT in until.stages else None
    has_manifest = Stage.MANIFEST in until.stages
    return RunFacts(
        project=project,
        cars=car_facts(catalog, project),
        root=None if root is None else RootFacts.of(root),
        manifest=written_manifest(projects.get(catalog, project)) if has_manifest else None,
        not_stored=NotStoredFacts.of(skipped.not_stored(catalog, project)),
    )


def verify(
    project: Name,
    source: Annotated[
        bool, typer.Option("--source", help="Also compare the CARs' content with the files in target-dir.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also read CARs that passed before and haven't changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read CARs back and check block hashes, trees and piece CIDs. Exit code 1 if anything is wrong."""
    with output.errors_shown():
        before = {row.number: row.verified_at for row in cars.rows(open_catalog(), project)}
    options = {"again": again, "source": source}
    config = {"ops": {"built_cars_cars_verify": {"config": options}}} if again or source else None
    catalog = run_stage("verify", project, as_json, config)
    settings = projects.get(catalog, project)
    built = list(cars.rows(catalog, project))
    dead = sum(row.dead_at is not None for row in built)
    away = sum(row.dead_at is None and is_away(settings, row) for row in built)
    read = sum(row.verified_at != before.get(row.number) for row in built)
    known = len(built) - away - dead - read
    kept_out = skipped.not_stored(catalog, project)
    if as_json:
        output.print_facts(
            VerifiedFacts(
                project=project,
                ok=True,
                cars=len(built) - away - dead,
                read=read,
                delivered=away,
                dead=dead,
                not_stored=NotStoredFacts.of(kept_out),
            )
        )
        return
    if read:
        output.say(f"{counted(read, 'CAR')} verified: every block, the trees, the piece CIDs")
    if known:
        output.say(
            f"{counted(known, 'CAR was', 'CARs were')} verified before, unchanged since; --again reads them again"
        )
    if source and len(built) > away + dead:
        which = " that are in CARs" if kept_out.total else ""
        output.say(
            f"the files in {settings.target_dir}{which} have the same content as the "
            f"{counted(len(built) - away - dead, 'CAR')} here"
        )
        if outdated := shards.outdated(catalog, project):
            output.say(f"{counted(outdated, 'file version')} changed or deleted since, and not compared")
    if away:
        output.say(
            f"{counted(away, 'CAR is', 'CARs are')} delivered and not in staging_dir any more: not read"
        )
    if dead:
        output.say(f"{counted(dead, 'CAR is', 'CARs are')} dead, since their source changed: not read")
    _say_not_stored(catalog, project)


def run_stage(job: str, project: str, quiet: bool, config: Mapping[str, object] | None = None) -> Catalog:
    """Run a stage's job to its end; a failure ends the command with its reasons."""
    from ptolemy_dagster.cli.launch import run_job

    with output.errors_shown():
        catalog = open_catalog()
        require_inside(projects.get(catalog, project), environment_roots())
        if job in tuple(Stage):
            require(catalog, project, Stage(job))
        if not config and (why := nothing_to_do(catalog, job, project)) is not None:
            if not quiet:
                output.say(f"nothing to do: {why}")
            return catalog
        result: Any = run_job(catalog, job, project, quiet=quiet, config=config)
        if not result.ok:
            raise result.error()
    return catalog
