"""The commands that remove and rename a project."""

from typing import Annotated

import typer

from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import remove
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog


def delete_command(
    project: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, only show what would be removed.")
    ] = False,
    cars: Annotated[
        bool, typer.Option("--cars", help="Also delete its CARs and manifests from staging-dir.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where sources were deleted that the catalog alone knows of."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove a project from the catalog and the web UI, and keep its CARs. A dry run without --yes.

    Its source files are never touched.
    """
    with output.errors_shown():
        catalog = open_catalog()
        if yes:
            from ptolemy_dagster.instance import open_instance
            from ptolemy_dagster.project_removal import delete_project

            found = delete_project(catalog, open_instance(), project, files=cars, force=force)
        else:
            found = remove.look(catalog, project)
    if as_json:
        output.print_facts(found.facts(files=cars))
        return
    size, did = readable(sum(found.files.values())), "removed" if yes else "would be removed"
    output.say(f"project {project} {did}: {counted(len(found.cars), 'CAR')} in the catalog")
    if found.undelivered:
        output.say(f"CARs that aren't marked as delivered: {found.undelivered:,}")
    if found.deals:
        output.say(f"deals that aren't over: {found.deals:,}; providers keep their pieces until the end")
    if found.files:
        end = did if cars else f"kept in {found.project.staging_dir} (--cars deletes them too)"
        output.say(f"{counted(len(found.files), 'CAR file')}, {size}: {end}")
    if not yes:
        refused = found.obstacle is not None and not force
        output.say(f"dry run: nothing was removed; {'--yes --force' if refused else '--yes'} removes it")
        if found.obstacle is not None:
            output.say(found.obstacle)


def rename_command(
    project: Name,
    new: Annotated[str, typer.Argument(help="Its new name.")],
    as_json: Json = False,
) -> None:
    """Rename a project.

    CARs stay as they are; manifests keep their names until they are written again.
    """
    with output.errors_shown():
        from ptolemy_dagster.instance import open_instance
        from ptolemy_dagster.project_removal import rename_project

        renamed = rename_project(open_catalog(), open_instance(), project, new)
    if as_json:
        output.print_json(renamed.model_dump())
    else:
        output.say(f"project {project} is now {new}")
