"""Keys and tokens never reach the catalog, Dagster's storage, logs, configuration or error texts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.remote import conftest, servers
from tests.remote.servers import Store

TOKEN = "session-token-of-the-tests"


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.slow
def test_no_command_leaves_a_secret_anywhere(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A whole pipeline, one that fails for a changed object, and one with keys that the store refuses."""
    store = conftest.own_bucket(moto, monkeypatch, tmp_path)
    store.put({"a": b"1" * 3000, "b/c": b"2"})
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "DAGSTER_HOME": str(home), "AWS_SESSION_TOKEN": TOKEN}
    said = b""

    def ptolemy(*arguments: str, **more: str) -> int:
        nonlocal said
        command = [sys.executable, "-c", "from ptolemy_dagster.cli import main; main()", *arguments]
        done = subprocess.run(command, env={**environment, **more}, capture_output=True, check=False)
        said += done.stdout + done.stderr
        return done.returncode

    url = f"s3://{store.bucket}"
    assert not ptolemy("create", "p", "-t", url, "-s", str(tmp_path / "cars"), "--watch")
    assert not ptolemy("scan", "p")
    assert not ptolemy("containerize", "p")  # and no CAR yet
    store.put({"a": b"3" * 3000})
    assert ptolemy("blitz", "p")
    assert b"it was overwritten" in said
    assert not ptolemy("run", "p")
    assert not ptolemy("status", "p", "--json")
    assert ptolemy("scan", "p", AWS_ENDPOINT_URL="http://127.0.0.1:1", PTOLEMY_STORE_PATIENCE="0.1")
    assert b"in another store (s3 http://127.0.0.1:1/" in said
    far = f"s3://{store.bucket}/cars"
    assert not ptolemy("keys", "create", "k")
    assert not ptolemy("create", "q", "-t", str(tmp_path / "cars"), "-s", far, "--encryption", "k")
    assert not ptolemy("run", "q")
    assert ptolemy("rename", "q", "r", AWS_ENDPOINT_URL="http://127.0.0.1:1", PTOLEMY_STORE_PATIENCE="0.1")
    assert ptolemy("blitz", "q", AWS_ENDPOINT_URL="http://127.0.0.1:1", PTOLEMY_STORE_PATIENCE="0.1") in (
        0,
        1,
    )
    assert ptolemy("verify", "q", "--again", AWS_SECRET_ACCESS_KEY="", PTOLEMY_STORE_PATIENCE="0.1")
    kept = everything_below(home) + everything_below(tmp_path / "cars")
    for secret in (servers.ACCESS, servers.SECRET, TOKEN):
        assert secret.encode() not in kept
        assert secret.encode() not in said
    assert url.encode() in kept
