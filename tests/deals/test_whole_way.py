"""The whole way by commands: generated CARs, the piece server, two providers, a restore, the deletion of sources.

What no output, log or database may have: the wallet's key, the key of signed URLs, and the URLs' signatures.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import printed, ptolemy
from tests.deals.project import KEY
from tests.pipeline.backend import Backend, in_process
from tests.pipeline.fixtures import sqlite
from tests.provider import ProviderServer

__all__ = ["sqlite"]

OTHER_KEY = "7d" * 32
URL_KEY = "key-of-signed-urls-that-nobody-may-see"


@contextmanager
def piece_server(backend: Backend) -> Iterator[str]:
    """`ptolemy serve-pieces` as a process; its address."""
    script = "from ptolemy_dagster.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve-pieces", "--port", "0", "--access-log", ""],
        env={**backend.env, "PTOLEMY_PIECE_URL_KEY": URL_KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        text = ""
        while not (found := re.search(r"http://127[^\s/]+", text)):
            line = process.stdout.readline()
            assert line, text
            text += line
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def everything_written(root: Path) -> Iterator[bytes]:
    """All files below a folder."""
    for path in root.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


@contextmanager
def another_key(wallet: Path) -> Iterator[None]:
    """A wallet whose alias has another key for a while."""
    wallet.write_text(f"delegated:{OTHER_KEY}")
    try:
        yield
    finally:
        wallet.write_text(f"delegated:{KEY}")


@pytest.mark.slow
def test_a_project_goes_to_two_providers_comes_back_from_them_and_its_sources_may_go(
    sqlite: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOLEMY_PIECE_URL_KEY", URL_KEY)
    wallet = tmp_path / "home" / "wallets" / "main"
    said: list[str] = []

    def command(*arguments: object, **more: Any) -> str:
        text: str = ptolemy(*arguments, **more).output
        said.append(text)
        return text

    sqlite.define(car_storage="generated")
    wallet.parent.mkdir(mode=0o700)
    wallet.write_text(f"delegated:{KEY}")
    wallet.chmod(0o600)
    with (
        piece_server(sqlite) as pieces,
        sqlite.instance() as instance,
        ProviderServer(tmp_path / "p-anna", seconds=0.01, fetch_pause=0.1) as anna,
        ProviderServer(tmp_path / "p-bert", seconds=0.01, fetch_pause=0.1) as bert,
    ):
        assert in_process("onboard", "delta", instance).success
        bert.market.providers = ("f01001",)
        command("providers", "add", "anna", "--address", "f01000", "--url", anna.url)
        command("providers", "add", "bert", "--address", "f01001", "--url", bert.url)
        assert "anna" in command("providers", "check")
        command("set", "delta", "--replicas", 2, "--providers", "anna", "--providers", "bert")
        url = f"{pieces}/piece/{{piece_cid}}?{{signature}}"
        command("set", "delta", "--deal-wallet", "main", "--piece-url", url)
        assert "2 deals to make" in command("deals", "plan", "delta")
        assert not anna.store.deals()
        assert "2 accepted" in command("deals", "make", "delta")
        assert "pieces with enough active deals (2 each): 1 of 1;" in command(
            "deals", "track", "delta", "--wait"
        )
        command("deals", "list", "delta")
        with another_key(wallet):
            assert "nothing is sent" in command("deals", "track", "delta", "--all", code=1)
        monkeypatch.delenv("PTOLEMY_PIECE_URL_KEY")
        assert "2 deals sent or asked for" in command("deals", "track", "delta", "--all")
        monkeypatch.setenv("PTOLEMY_PIECE_URL_KEY", URL_KEY)
        command("providers", "add", "anna", "--rate", 20)
        for form in ("csv", "json", "boost", "boost-import"):
            command("deals", "export", "delta", "--root", "--format", form)
        command("delete", "delta")
        assert in_process("deal", "delta", instance).get_asset_check_evaluations()[0].passed

        (found,) = printed("find", "a.txt", "-p", "delta")
        assert found["stored_by"] == ["f01000", "f01001"]
        (deal, _) = printed("deals", "list", "delta")
        history = printed("deals", "show", deal["id"])["history"]
        assert history[-1]["state"] == "active"
        said.append(json.dumps(history))
        command("manifest", "delta")
        (summary,) = sqlite.staging().glob("manifests/*.summary.json")
        assert json.loads(summary.read_text())["cars"][0]["stored_by"] == ["f01000", "f01001"]

        data = sqlite.root / "data"
        (data / "new.txt").write_bytes(b"built, and not with a provider yet")
        for job in ("scan", "containerize", "blitz", "verify"):
            assert in_process(job, "delta", instance).success
        before = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        bert.spoil = lambda part: part[:-1] + b"?"
        assert "only 1 of 2 providers" in command("delete-source", "delta", "--delete", code=1)
        assert (data / "a.txt").exists()
        bert.spoil = None
        command("delete-source", "delta", "--delete")
        assert sorted(path.name for path in data.rglob("*") if path.is_file()) == ["new.txt"]

        for kept in sqlite.staging().glob("*"):  # nothing of the CARs is left here
            if kept.is_file():
                kept.unlink()
        command("restore", "delta", "a.txt", "b", "--scan", 1, "--to", tmp_path / "back")
        restored = {path.name: path.read_bytes() for path in (tmp_path / "back").rglob("*") if path.is_file()}
        assert restored == {name: data for name, data in before.items() if name != "new.txt"}

    signatures = {
        re.search(r"signature=(\w+)", json.dumps(deal.body))[1].encode()  # type: ignore[index]
        for server in (anna, bert)
        for deal in _deals(server)
    }
    assert len(signatures) >= 1
    key = bytes.fromhex(KEY)
    other = bytes.fromhex(OTHER_KEY)
    secrets = {
        KEY.encode(),
        key,
        base64.b64encode(key),
        OTHER_KEY.encode(),
        other,
        URL_KEY.encode(),
        *signatures,
    }
    wallet.unlink()
    for written in [*everything_written(tmp_path / "home"), *(text.encode() for text in said)]:
        assert not [secret for secret in secrets if secret in written]


def _deals(server: ProviderServer) -> list[Any]:
    from tests.provider.store import Store

    return Store(server.store.folder).deals()
