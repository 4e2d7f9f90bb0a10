"""A folder on an SSH server, which asyncssh's own server stands for."""

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from ptolemy_core.errors import SettingsError, SourceError
from ptolemy_core.tree import Kind
from tests.remote.test_bucket import FILES, reasons, run, seen, write


@dataclass
class Host:
    """A running SSH server whose root is a folder of this machine."""

    root: Path
    home: Path
    port: int = 0
    key: Any = None

    def __post_init__(self) -> None:
        self.connections: list[Any] = []
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.start()
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True)
        self.key.write_private_key(str(ssh / "id_ed25519"))
        public = self.host_key.export_public_key().decode()
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")

    def start(self) -> None:
        connections = self.connections

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: Any) -> None:
                connections.append(conn)

        async def listen() -> Any:
            return await asyncssh.listen(
                "127.0.0.1",
                self.port,
                server_factory=Server,
                server_host_keys=[self.host_key],
                authorized_client_keys=asyncssh.import_authorized_keys(self.key.export_public_key().decode()),
                sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(self.root)),
            )

        self.server = asyncio.run_coroutine_threadsafe(listen(), self.loop).result()
        self.port = self.server.get_port()

    def stop(self) -> None:
        """Close the server and all of its connections."""

        async def close() -> None:
            self.server.close()
            for connection in self.connections:
                connection.abort()
            self.connections.clear()

        asyncio.run_coroutine_threadsafe(close(), self.loop).result()

    @property
    def url(self) -> str:
        return f"sftp://me@127.0.0.1:{self.port}/data"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "5")
    made = Host(tmp_path / "root", tmp_path / "home")
    (made.root / "data").mkdir(parents=True)
    yield made
    made.stop()


def test_a_folder_over_sftp_and_the_folder_itself_give_the_same_cars(make: Any, host: Host) -> None:
    write(host.root / "data", FILES)
    (host.root / "data" / "empty").mkdir()
    far, local = make("far", target_dir=host.url), make("local")
    write(local.target, FILES)
    (local.target / "empty").mkdir()
    for scene in (local, far):
        run(scene)
    assert seen(far) == seen(local)
    assert seen(far)["empty"] == Kind.DIRECTORY
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    assert [verdict.problems for verdict in far.verify(source=True)] == [[]] * len(far.cars())
    again = far.scan()
    assert (again.added, again.changed, again.gone) == (0, 0, 0)


def test_a_file_that_changed_or_is_gone_is_refused_by_name(make: Any, host: Host) -> None:
    place = host.root / "data" / "a"
    place.write_bytes(b"1" * 700)
    far = make("far", target_dir=host.url)
    far.scan()
    far.plan()
    place.write_bytes(b"2" * 700)
    os.utime(place, (1, 1))
    with pytest.raises(SourceError, match="/data/a changed since the scan"):
        far.blitz()
    place.unlink()
    with pytest.raises(SourceError, match="/data/a is missing since the scan"):
        far.blitz()


def test_a_connection_that_breaks_is_made_anew(make: Any, host: Host) -> None:
    write(host.root / "data", FILES)
    far = make("far", target_dir=host.url)
    far.scan()
    far.plan()
    source_seen = []

    from ptolemy_core.source.sftp import Sftp

    real = Sftp.bytes_of

    def broken(self: Sftp, *arguments: Any) -> bytes:
        source_seen.append(arguments)
        if len(source_seen) in (3, 7):
            host.stop()
            host.start()
        return real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sftp, "bytes_of", broken)
        far.blitz()
    assert len(source_seen) > 7
    assert far.problems() == []


def test_links_and_pipes_are_left_out_with_their_reasons(make: Any, host: Host) -> None:
    folder = host.root / "data"
    (folder / "f").write_bytes(b"1")
    (folder / "link").symlink_to("f")
    os.mkfifo(folder / "pipe")
    far = make("far", target_dir=host.url, on_error="skip")
    far.scan()
    assert set(reasons(far)) == {"link", "pipe"}
    assert reasons(far)["link"] == "a link, which sftp:// sources don't keep"


def test_a_server_that_isnt_known_or_lets_nobody_in_is_refused(make: Any, host: Host) -> None:
    (host.home / ".ssh" / "id_ed25519").unlink()
    with pytest.raises(SettingsError, match="doesn't let this user in"):
        make("p", target_dir=host.url)
    (host.home / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(SettingsError, match="its host key isn't in ~/.ssh/known_hosts"):
        make("q", target_dir=host.url)
    with pytest.raises(SettingsError, match=r"~/\.ssh/config says"):
        make("r", target_dir=host.url, source_profile="x")
