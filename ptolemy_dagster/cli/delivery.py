"""Commands for delivered CARs: release, delete-source, deleted."""

import itertools
import os
from dataclasses import asdict
from typing import Annotated

import typer

from ptolemy_core.catalog import Catalog, deletions, projects
from ptolemy_core.errors import DeletionError
from ptolemy_core.facts.cars import ReleasedFacts, ReleasedRootFacts
from ptolemy_core.facts.fields import Facts, text_of
from ptolemy_core.facts.files import DeletedFacts
from ptolemy_core.facts.projects import DeletionFacts
from ptolemy_core.project import Project
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import release as release_stage
from ptolemy_core.stages import release_root
from ptolemy_core.stages.delete_source import DeletionResult, Options
from ptolemy_core.stages.delete_source import delete_source as delete
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.chosen import tree_path
from ptolemy_dagster.cli.dry_run import DryRun, refuse_both
from ptolemy_dagster.cli.stages import Json, Name, open_catalog


def release(
    car: Annotated[
        list[str],
        typer.Argument(
            metavar="CAR", help="Payload CID, piece CID v1 or v2, file name, PROJECT/NUMBER or PROJECT/root."
        ),
    ],
    note: Annotated[str | None, typer.Option(help="Where it went, e.g. a URL.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Also delete its file from staging-dir.")] = False,
    override: Annotated[
        bool,
        typer.Option("--override", help="Also CARs with fewer active deals than replicas; this is recorded."),
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove the mark.")] = False,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Search only this project.")] = None,
    as_json: Json = False,
) -> None:
    """Mark CARs as delivered: they can be removed from staging-dir, and blitz never rebuilds them.

    A file that isn't the CAR any more is neither marked nor removed.
    """
    if undo and (note is not None or remove or override):
        raise typer.BadParameter("--undo can't be combined with --note, --remove or --override")
    with output.errors_shown():
        catalog = open_catalog()
        chosen, of_roots = release_root.named(catalog, car, project)
        if undo:
            results = release_stage.undo(catalog, chosen)
            tops = release_root.undo(catalog, of_roots)
        else:
            with output.byte_progress() as bars:
                task = bars.add_task("read CARs", total=None, visible=False)
                results = release_stage.release(
                    catalog,
                    chosen,
                    note=note,
                    remove=remove,
                    override=override,
                    progress=lambda step: bars.update(task, advance=step, visible=True),
                )
            tops = release_root.release(catalog, of_roots, note=note, remove=remove)
    if as_json:
        facts: list[Facts] = [
            ReleasedFacts.of(one.car, done=one.done, warning=one.warning) for one in results
        ]
        facts += [ReleasedRootFacts.of(one.root, done=one.done, warning=one.warning) for one in tops]
        output.print_facts(facts)
        return
    for one in results:
        output.out.print(
            f"{one.car.project}/{one.car.number:06d} {one.car.file_name}: {one.done}", markup=False
        )
        if one.warning:
            output.say(f"{one.car.project}/{one.car.number:06d}: {one.warning}")
    for top in tops:
        output.out.print(f"{top.root.project}/root {top.root.file_name}: {top.done}", markup=False)
        if top.warning:
            output.say(f"{top.root.project}/root: {top.warning}")


TrustMarks = Annotated[
    bool,
    typer.Option("--trust-marks", help="Accept CARs that were moved before they were marked as delivered."),
]
TrustDeals = Annotated[
    bool,
    typer.Option(
        "--trust-deals", help="Don't fetch random ranges from the providers before the last copy goes."
    ),
]


def delete_source(
    project: Name,
    path: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Paths in target-dir; default: everything."),
    ] = None,
    really: Annotated[
        bool, typer.Option("--delete", help="Delete; without it, only show what would be deleted.")
    ] = False,
    dry_run: DryRun = False,
    folders: Annotated[
        bool, typer.Option("--folders", help="Also remove folders that are empty afterwards.")
    ] = False,
    ignore_project: Annotated[
        list[str] | None,
        typer.Option(help="Don't check this other project over the same files; may be repeated."),
    ] = None,
    trust_stamps: Annotated[
        bool,
        typer.Option(
            "--trust-stamps", help="Don't reread files with the size, times and inode of the build."
        ),
    ] = False,
    trust_marks: TrustMarks = False,
    trust_deals: TrustDeals = False,
    as_json: Json = False,
) -> None:
    """Delete source files whose every byte is in verified, delivered CARs. A dry run without --delete.

    Each file is read once more before it is deleted, and its CID compared with the catalog. Exit code 1 if files stay
    because providers don't show that they hold them.
    """
    options = Options(
        really=really,
        folders=folders,
        ignore=ignore_project or (),
        trust_stamps=trust_stamps,
        trust_marks=trust_marks,
        trust_deals=trust_deals,
    )
    with output.errors_shown():
        refuse_both(dry_run, really, "--delete")
        catalog = open_catalog()
        result = _delete(catalog, project, path or [], options)
        if as_json:
            output.print_facts(DeletionFacts(**asdict(result)))
        else:
            _show(result, project)
        if result.unproven:
            raise DeletionError(
                f"{counted(result.unproven, 'entry stays', 'entries stay')}, as providers didn't show that they hold "
                "the piece: try again when they answer"
            )
        if path and really and not result.files and result.kept:
            raise DeletionError("nothing was deleted")


def _delete(catalog: Catalog, project: str, typed: list[str], options: Options) -> DeletionResult:
    chosen = _chosen(catalog, project, typed)
    with output.byte_progress() as bars:
        task = bars.add_task("read files", total=None, visible=False)
        return delete(
            catalog,
            project,
            chosen,
            options,
            progress=lambda step: bars.update(task, advance=step, visible=True),
        )


def _chosen(catalog: Catalog, project: str, typed: list[str]) -> list[bytes]:
    settings = projects.get(catalog, project)
    return [_below(catalog, settings, text) for text in typed]


def _below(catalog: Catalog, project: Project, text: str) -> bytes:
    """The NUL-joined path of what a user typed: below target_dir, or absolute.

    Raises:
        DeletionError: it isn't below target_dir. An empty path, as of a shell's unset variable, isn't either.
    """
    inside = project.target_dir.rstrip("/") + "/"
    real = os.path.normpath(text)
    if real == project.target_dir:
        return b""
    path = paths.from_display(real.removeprefix(inside))
    outside = os.path.isabs(real) and not real.startswith(inside)
    if not text or outside or paths.top_of(path) in (b"", b".", b".."):
        raise DeletionError(
            f"{text!r} isn't below target_dir {project.target_dir}: give a path below it, or none for everything"
        )
    return tree_path(catalog, project, real)


def _show(result: DeletionResult, project: str) -> None:
    if result.sample:
        output.print_table(("path", "size"), [(path, readable(size)) for path, size in result.sample])
    if result.files > len(result.sample):
        output.say(f"… and {result.files - len(result.sample):,} more")
    did = "deleted" if result.deleted else "dry run, nothing was deleted; --delete would delete"
    output.say(f"{did}: {counted(result.files, 'entry', 'entries')}, {readable(result.bytes)}")
    if result.folders:
        output.say(f"{counted(result.folders, 'empty folder')} removed")
    for reason, count in sorted(result.kept.items(), key=lambda item: -item[1]):
        example = next((path for path, why in result.kept_sample if why == reason), None)
        output.say(f"{counted(count, 'stays', 'stay')}: {reason}" + (f" (as {example})" if example else ""))
    if result.deleted and result.files:
        output.say(f"ptolemy deleted {project} lists all that was deleted")


def deleted(
    project: Name,
    limit: Annotated[int, typer.Option(help="Show at most N rows.")] = 1000,
    as_json: Json = False,
) -> None:
    """List source files that were deleted after delivery."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        rows = list(itertools.islice(deletions.rows(catalog, project), limit))
    shown = [DeletedFacts.of(row) for row in rows]
    if as_json:
        output.print_facts(shown)
        return
    if not shown:
        output.say(f"no source of {project} was deleted")
        return
    output.print_table(
        ("path", "size", "CID", "deleted"),
        [
            (
                row.path,
                readable(row.size),
                row.file_cid or "",
                text_of(row, "deleted_at") or "interrupted: run delete-source again",
            )
            for row in shown
        ],
    )
