"""The commands that serve: the HTTP API, and Dagster's web UI."""

from typing import Annotated

import typer

from ptolemy_core.garbage import imports_kept
from ptolemy_dagster.cli import output

ApiTokenFile = Annotated[
    str | None,
    typer.Option(help="File with the token for requests and for signing in (or PTOLEMY_API_TOKEN)."),
]
Roots = Annotated[
    list[str] | None,
    typer.Option(help="Folder that projects may use; may be repeated (or PTOLEMY_ROOTS)."),
]
Hosts = Annotated[list[str] | None, typer.Option(help="Another host name of this server; may be repeated.")]
Daemon = Annotated[bool, typer.Option(help="Start dagster-daemon, unless one is running.")]
Rate = Annotated[int, typer.Option(help="Requests per second from one address; 0: no limit.")]


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token and roots.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port of the API; 0: any free port.")] = 8000,
    token_file: ApiTokenFile = None,
    root: Roots = None,
    allow_host: Hosts = None,
    rate_limit: Rate = 200,
    ui_port: Annotated[
        int | None,
        typer.Option(help="Port of Dagster's web UI on loopback; default: 3000 or a free port."),
    ] = None,
    ui_url: Annotated[str | None, typer.Option(help="Public URL of the web UI, for links.")] = None,
    dagster_url: Annotated[
        str | None, typer.Option(help="URL of a running Dagster webserver, to use instead of starting one.")
    ] = None,
    daemon: Daemon = True,
    pieces: Annotated[
        bool,
        typer.Option(
            help="Also serve pieces, at /piece/CID and /ipfs/CID; prefer `serve-pieces` for more than a few "
            "downloads."
        ),
    ] = False,
) -> None:
    """Serve the HTTP API, and start Dagster's web UI and daemon."""
    with output.errors_shown():
        with imports_kept():
            from ptolemy_dagster.cli.stages import open_catalog
            from ptolemy_dagster.http.piece_server import PieceSettings, parse_access
            from ptolemy_dagster.http.serve import Beside
            from ptolemy_dagster.http.serve import serve as run
            from ptolemy_dagster.http.settings import parse_settings

        served = PieceSettings(parse_access(None, None)) if pieces else None
        settings = parse_settings(
            host,
            port,
            token_file=token_file,
            roots=root or (),
            allowed_hosts=allow_host or (),
            rate=rate_limit,
            ui_url=ui_url,
        )
        run(open_catalog(), settings, Beside(dagster_url, ui_port, daemon, served))


def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token and roots.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the web UI; 0: any free port.")] = 3000,
    token_file: ApiTokenFile = None,
    root: Roots = None,
    allow_host: Hosts = None,
    ui_url: Annotated[
        str | None, typer.Option(help="Public URL of the web UI; it is served below the URL's path.")
    ] = None,
    daemon: Daemon = True,
) -> None:
    """Serve Dagster's web UI and GraphQL, and start its daemon.

    Requests from other web sites are refused; with a token, users must sign in. Ctrl-C ends both.
    """
    with output.errors_shown():
        from ptolemy_dagster.cli.stages import open_catalog
        from ptolemy_dagster.http.settings import parse_settings
        from ptolemy_dagster.http.ui import serve_ui

        settings = parse_settings(
            host, port, token_file=token_file, roots=root or (), allowed_hosts=allow_host or (), ui_url=ui_url
        )
        serve_ui(open_catalog(), settings, daemon=daemon)


TokenFile = Annotated[
    str | None,
    typer.Option(
        help="File with one token per line; each gives access to all pieces (or PTOLEMY_PIECE_TOKENS)."
    ),
]
KeyFile = Annotated[
    str | None, typer.Option(help="File with the key of signed URLs (or PTOLEMY_PIECE_URL_KEY).")
]


def serve_pieces(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free one.")] = 8080,
    token_file: TokenFile = None,
    url_key_file: KeyFile = None,
    bandwidth: Annotated[
        float, typer.Option(help="MiB per second for all downloads together; 0: no limit.")
    ] = 0,
    connections: Annotated[int, typer.Option(help="Connections at once; 0: up to 512.")] = 0,
    per_address: Annotated[
        int, typer.Option(help="Connections at once from one address; 0: half of all.")
    ] = 0,
    rate_limit: Rate = 0,
    access_log: Annotated[
        str,
        typer.Option(help="File that gets a line for each request; - for standard error, empty for none."),
    ] = "-",
) -> None:
    """Serve pieces to storage providers at /piece/CID, and files to IPFS clients at /ipfs/CID."""
    with output.errors_shown():
        with imports_kept():
            from ptolemy_dagster.cli.stages import open_catalog
            from ptolemy_dagster.http import piece_server

        settings = piece_server.parse_settings(
            piece_server.parse_access(token_file, url_key_file),
            bandwidth=bandwidth,
            connections=connections,
            per_address=per_address,
            rate=rate_limit,
            log_file=access_log or None,
        )
        piece_server.serve_pieces(open_catalog(), host, port, settings)


def piece_url(
    piece: Annotated[list[str], typer.Argument(help="Piece CIDs.")],
    base: Annotated[
        str, typer.Option(help="URL at which users reach the server, such as https://pieces.example.org.")
    ],
    days: Annotated[float, typer.Option(help="Days until the URL expires.")] = 30,
    url_key_file: KeyFile = None,
) -> None:
    """Print URLs of pieces that work without a token until they expire."""
    with output.errors_shown():
        import time

        from ptolemy_core.errors import SettingsError
        from ptolemy_core.gateway.access import signed_url
        from ptolemy_dagster.http.piece_server import KEY_VARIABLE, parse_access

        key = parse_access(None, url_key_file).key
        if not key:
            raise SettingsError(f"there is no key to sign with: set {KEY_VARIABLE} or give --url-key-file")
        expires = int(time.time() + days * 86_400)
        for one in piece:
            typer.echo(signed_url(key, base, f"/piece/{one}", expires))
