"""The commands that serve: the HTTP API, and Dagster's web UI."""

from typing import Annotated

import typer

from ptolemy_dagster.cli import output


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than loopback needs a token and roots.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port of the API; 0: any free one.")] = 8000,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token that requests must bear (or PTOLEMY_API_TOKEN).")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder below which projects may lie; may be repeated (or PTOLEMY_ROOTS)."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name by which the API may be called; may be repeated.")
    ] = None,
    rate_limit: Annotated[int, typer.Option(help="Requests a second of one address; 0: any number.")] = 200,
    ui_port: Annotated[
        int | None,
        typer.Option(help="Port of Dagster's web UI on loopback; by default 3000, else a free one."),
    ] = None,
    ui_url: Annotated[str | None, typer.Option(help="The web UI as users reach it, for links.")] = None,
    dagster_url: Annotated[
        str | None, typer.Option(help="A Dagster webserver that runs already; none is started then.")
    ] = None,
    daemon: Annotated[bool, typer.Option(help="Start dagster-daemon, unless one runs already.")] = True,
) -> None:
    """Serve the HTTP API, with Dagster's web UI and daemon beside it."""
    with output.errors_shown():
        from ptolemy_dagster.cli.stages import open_catalog
        from ptolemy_dagster.http.serve import Beside
        from ptolemy_dagster.http.serve import serve as run
        from ptolemy_dagster.http.settings import parse_settings

        settings = parse_settings(
            host,
            port,
            token_file=token_file,
            roots=root or (),
            allowed_hosts=allow_host or (),
            rate=rate_limit,
            ui_url=ui_url,
        )
        run(open_catalog(), settings, Beside(dagster_url, ui_port, daemon))


def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than loopback needs a token and roots.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the web UI; 0: any free one.")] = 3000,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token to sign in with (or PTOLEMY_API_TOKEN).")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder below which projects may lie; may be repeated (or PTOLEMY_ROOTS)."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name by which it may be called; may be repeated.")
    ] = None,
    ui_url: Annotated[
        str | None, typer.Option(help="The web UI as users reach it; its path is where it is served.")
    ] = None,
    daemon: Annotated[bool, typer.Option(help="Start dagster-daemon, unless one runs already.")] = True,
) -> None:
    """Serve Dagster's web UI and GraphQL, with its daemon beside it.

    Other sites are refused, and with a token other users. Ctrl-C ends both.
    """
    with output.errors_shown():
        from ptolemy_dagster.cli.stages import open_catalog
        from ptolemy_dagster.http.settings import parse_settings
        from ptolemy_dagster.http.ui import serve_ui

        settings = parse_settings(
            host, port, token_file=token_file, roots=root or (), allowed_hosts=allow_host or (), ui_url=ui_url
        )
        serve_ui(open_catalog(), settings, daemon=daemon)
