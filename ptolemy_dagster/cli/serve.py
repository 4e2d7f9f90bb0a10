"""The command that serves the HTTP API."""

from contextlib import suppress
from typing import Annotated

import typer

from ptolemy_dagster.cli import output


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token and roots.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port of the API; 0: any free port.")] = 8000,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token that requests need (or PTOLEMY_API_TOKEN).")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder that projects may use; may be repeated (or PTOLEMY_ROOTS)."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name of the API; may be repeated.")
    ] = None,
    rate_limit: Annotated[int, typer.Option(help="Requests per second from one address; 0: no limit.")] = 200,
    ui_port: Annotated[
        int | None,
        typer.Option(help="Port of Dagster's web UI on loopback; default: 3000 or a free port."),
    ] = None,
    ui_url: Annotated[str | None, typer.Option(help="Public URL of the web UI, for links.")] = None,
    dagster_url: Annotated[
        str | None, typer.Option(help="URL of a running Dagster webserver, to use instead of starting one.")
    ] = None,
    daemon: Annotated[bool, typer.Option(help="Start dagster-daemon, unless one is running.")] = True,
) -> None:
    """Serve the HTTP API, and start Dagster's web UI and daemon."""
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


def web_ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token and roots.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the web UI; 0: any free port.")] = 3000,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token to sign in with (or PTOLEMY_API_TOKEN).")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder that projects may use; may be repeated (or PTOLEMY_ROOTS)."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name of the web UI; may be repeated.")
    ] = None,
    ui_url: Annotated[
        str | None, typer.Option(help="Public URL of the web UI; it is served below the URL's path.")
    ] = None,
) -> None:
    """Serve Dagster's web UI and GraphQL, guarded against other sites and, with a token, other users."""
    with output.errors_shown():
        from ptolemy_dagster.cli.stages import open_catalog
        from ptolemy_dagster.http.serve import listener_on, make_storage, workspace_file
        from ptolemy_dagster.http.settings import parse_settings
        from ptolemy_dagster.http.web_ui import Access
        from ptolemy_dagster.http.webserver import run
        from ptolemy_dagster.instance import open_instance, prepare_home
        from ptolemy_dagster.roots import set_environment

        settings = parse_settings(
            host, port, token_file=token_file, roots=root or (), allowed_hosts=allow_host or (), ui_url=ui_url
        )
        access = Access.of(settings)
        set_environment(settings.roots)
        listener = listener_on(host, port)
        make_storage(open_catalog(), open_instance())
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"web UI   http://{shown}:{listener.getsockname()[1]}{access.prefix}")
        with suppress(KeyboardInterrupt):
            run(workspace_file(prepare_home()), listener, access)
