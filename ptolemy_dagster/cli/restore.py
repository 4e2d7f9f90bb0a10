"""`ptolemy restore`: a project's files back from its CARs, with the catalog's help."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from ptolemy_core import urls
from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.views import Entries, Stored, View
from ptolemy_core.dag import cid
from ptolemy_core.errors import PtolemyError, SettingsError
from ptolemy_core.facts.plain import NeededCarFacts, NeedsFacts
from ptolemy_core.open_files import allow_open_files
from ptolemy_core.progress import Progress
from ptolemy_core.restore import Needs, Report
from ptolemy_core.restore.from_manifest import ManifestKeys, load_manifest
from ptolemy_core.restore.http_ranges import HttpOptions
from ptolemy_core.restore.project import RestoreJob, Writing, load, work
from ptolemy_core.restore.remote import Servers
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages.evidence import retrieval_templates
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.chosen import tree_path
from ptolemy_dagster.cli.extract import Overwrite, Sparse, show
from ptolemy_dagster.cli.stages import Json, open_catalog

_REMOTE_THREADS = 8
"""Threads that fetch, at least: most of their time they wait for servers."""


From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        help="URL of pieces, as https://provider.example/piece/{piece}; may be repeated. CARs in no folder of --cars "
        "are read from there, no more of them than is needed. Default: providers with active deals.",
    ),
]
Manifest = Annotated[
    str | None, typer.Option("--manifest", help="Manifest to use in place of a project's catalog.")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="For a plain --manifest of an encrypted project: its .keys.json. The key of its alias must be "
        "available.",
    ),
]
TokenFile = Annotated[
    str | None, typer.Option("--token-file", help="File with the bearer token for the servers of --from.")
]
PrivateRedirects = Annotated[
    bool, typer.Option("--private-redirects", help="A public server may redirect to a private address.")
]
Cars = Annotated[
    list[str] | None,
    typer.Option("--cars", help="Folder with CARs; may be repeated. Default: staging-dir."),
]
Scan = Annotated[
    int | None, typer.Option("--scan", help="Restore the files of this scan; default: the newest.")
]
Listing = Annotated[bool, typer.Option("--list", help="Show which CARs are needed; write nothing.")]
Partial = Annotated[bool, typer.Option("--partial", help="Restore what is available if CARs are missing.")]


def restore(
    project: Annotated[
        str | None, typer.Argument(help="Name of the project; left out with --manifest.")
    ] = None,
    path: Annotated[
        list[str] | None, typer.Argument(help="Files and folders in target-dir; default: all.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Folder to write to, created if necessary; or a URL: s3://, gs://, az://."),
    ] = None,
    cars: Cars = None,
    from_: From = None,
    manifest: Manifest = None,
    key: Key = None,
    token_file: TokenFile = None,
    private_redirects: PrivateRedirects = False,
    scan: Scan = None,
    listing: Listing = False,
    partial: Partial = False,
    overwrite: Overwrite = False,
    sparse: Sparse = True,
    as_json: Json = False,
) -> None:
    """Restore a project, or files and folders of it, from its CARs. Run again to resume."""
    if to is None and not listing:
        raise typer.BadParameter("give the folder to write to", param_hint="--to")
    with output.errors_shown():
        folders = [os.path.abspath(folder) for folder in cars or []]
        servers = _servers(from_ or [], token_file, private_redirects)
        typed = path or []
        if manifest is not None:
            if scan is not None:
                raise typer.BadParameter("a manifest has the newest versions only", param_hint="--scan")
            plan = _by_manifest(manifest, key, [project, *typed] if project else typed, folders, servers)
        elif key is not None:
            raise typer.BadParameter("it goes with --manifest", param_hint="--key")
        elif project is not None:
            plan = _by_catalog(project, typed, folders, servers, scan)
        else:
            raise typer.BadParameter("name a project, or give --manifest", param_hint="PROJECT")
        needs, servers = plan.needs, plan.servers
        if listing:
            _list(needs, as_json)
            return
        assert to is not None
        _require(needs, partial)
        if not as_json:
            output.say(_summary(needs, f"from {counted(len(needs.cars), 'CAR')}"))
        allow_open_files(len(needs.cars))
        with output.byte_progress() as bars:
            task = bars.add_task("restoring", total=needs.size, visible=bars.console.is_terminal)
            threads = os.cpu_count() or 1
            how = Writing(overwrite, sparse, max(threads, _REMOTE_THREADS) if servers else threads)
            report = _write(plan, to, how, lambda done: bars.advance(task, done))
        if servers is not None and not as_json:
            output.say(f"{readable(servers.http.received)} transferred")
        show(report, os.fsencode(to), as_json)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is restored."""

    job: RestoreJob
    entries: Iterable[Stored]
    servers: Servers | None = None

    @property
    def needs(self) -> Needs:
        return self.job.needs


def _write(plan: _Plan, to: str, how: Writing, progress: Progress) -> Report:
    """Restore into a folder, or a store."""
    if urls.is_url(to):
        from ptolemy_core.restore.to_store import StoreTarget, work_to_store

        return work_to_store(plan.job, plan.entries, StoreTarget(urls.parse(to)), how, progress=progress)
    return work(plan.job, plan.entries, os.fsencode(to), how, progress=progress)


def _by_catalog(
    project: str, typed: list[str], folders: list[str], servers: Servers | None, scan: int | None
) -> _Plan:
    catalog = open_catalog()
    chosen = tuple(_chosen(catalog, project, typed))
    view = View(project, scan, chosen)
    if servers is None:
        templates = retrieval_templates(catalog, project)
        servers = Servers.of(templates) if templates else None
    return _Plan(load(catalog, view, folders, servers=servers), Entries(catalog, view), servers)


def _by_manifest(
    manifest: str, key: str | None, typed: list[str], folders: list[str], servers: Servers | None
) -> _Plan:
    chosen = [paths.from_display(text) for text in typed]
    found = load_manifest(manifest, chosen, folders, servers, keys=ManifestKeys(key))
    return _Plan(found.job, found.entries, servers)


def _servers(templates: list[str], token_file: str | None, private_redirects: bool) -> Servers | None:
    """The servers of --from; None if there are none."""
    if not templates:
        if token_file is not None:
            raise typer.BadParameter("it goes with --from", param_hint="--token-file")
        return None
    token = ""
    if token_file is not None:
        try:
            with open(token_file, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the token file {token_file!r} can't be read: {error}") from None
        if not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError(f"the token file {token_file!r} must hold one token of printable characters")
    return Servers.of(templates, HttpOptions(token=token, private_redirects=private_redirects))


def _chosen(catalog: Catalog, project: str, typed: list[str]) -> list[bytes]:
    """The paths below target_dir that a user typed, some of them perhaps with it; none where all is asked for."""
    settings = projects.get(catalog, project)
    found = [tree_path(catalog, settings, text) for text in typed]
    return [] if b"" in found else found


def _summary(needs: Needs, more: str) -> str:
    """How much is to be restored, in words."""
    return f"{counted(needs.entries, 'entry', 'entries')}, {readable(needs.size)}, {more}"


def _require(needs: Needs, partial: bool) -> None:
    """See that nothing is missing.

    Raises:
        PtolemyError: CARs are.
    """
    lines = [f"{cid.to_text(one.car.piece_cid_v1)}.car: {one.reason}" for one in needs.missing]
    if not lines:
        return
    what = (
        f"{len(lines):,} of {counted(len(needs.cars), 'CAR')} needed {'is' if len(lines) == 1 else 'are'} missing:\n"
        + "\n".join(lines)
    )
    if not partial:
        raise PtolemyError(
            what
            + "\ngive their folders with --cars or servers with --from, or restore what is available with --partial"
        )
    output.say(what)


def _list(needs: Needs, as_json: bool) -> None:
    if as_json:
        rows = [
            NeededCarFacts(
                container=one.car.number,
                piece_cid=cid.to_text(one.car.piece_cid_v1),
                piece_cid_v2=cid.to_text(one.car.piece_cid_v2),
                payload_cid=cid.to_text(one.car.payload_cid),
                car_size=one.car.car_size,
                path=one.path,
                missing=one.reason or None,
            )
            for one in needs.cars
        ]
        output.print_json(
            NeedsFacts(entries=needs.entries, bytes=needs.size, unbuilt=needs.unbuilt, cars=rows)
        )
    else:
        output.print_table(
            ("CAR", "piece CID", "size", "where"),
            [
                (
                    f"{one.car.number:06d}",
                    cid.to_text(one.car.piece_cid_v1),
                    f"{one.car.car_size:,}",
                    one.path or f"MISSING: {one.reason}",
                )
                for one in needs.cars
            ],
        )
        output.say(_summary(needs, f"{counted(len(needs.missing), 'CAR')} missing"))
        for path in needs.unbuilt:
            output.say(f"in no CAR yet: {path}")
    if needs.missing:
        raise typer.Exit(output.FAILED)
