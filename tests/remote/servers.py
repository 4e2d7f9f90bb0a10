"""Object stores that the tests start: moto's; versitygw, Azurite and fake-gcs-server where they are installed."""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest

ACCESS, SECRET = "AKIDOFTHETESTS", "the-secret-key-of-the-tests"

VERSITYGW = shutil.which("versitygw") or os.path.expanduser("~/go/bin/versitygw")

REQUIRED = os.environ.get("PTOLEMY_STORES") == "required"
"""Set in CI: there a missing server is a failure, not a test that is skipped."""


def need(program: str, install: str) -> None:
    """Skip the test if a server's program is missing, or fail it where it is required."""
    if os.access(program, os.X_OK):
        return
    reason = f"a server of the tests isn't installed: {install}"
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Store:
    """A running store with one bucket."""

    endpoint: str
    bucket: str = "data"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client(self) -> Any:
        """Botocore's client, which is none of ours."""
        return _client(self.endpoint)

    def put(self, files: Mapping[str, bytes]) -> None:
        client = self.client
        for key, data in files.items():
            client.put_object(Bucket=self.bucket, Key=key, Body=data)


@functools.cache
def _client(endpoint: str) -> Any:
    """One for each server: it takes a while to make."""
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@contextmanager
def running(
    command: list[str], endpoint: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A server's process, once it answers."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
    try:
        wait_for(endpoint, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def wait_for(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def moto(folder: Path) -> Iterator[Store]:
    """Moto's server, which keeps everything in memory."""
    port = free_port()
    store = Store(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, store.endpoint, folder / "moto.log"):
        store.client.create_bucket(Bucket=store.bucket)
        yield store


@contextmanager
def versitygw(folder: Path) -> Iterator[Store]:
    """A gateway written in Go, whose buckets are folders."""
    port = free_port()
    store = Store(f"http://127.0.0.1:{port}")
    root = folder / "buckets"
    root.mkdir()
    command = [
        VERSITYGW,
        "--port",
        f"127.0.0.1:{port}",
        "--access",
        ACCESS,
        "--secret",
        SECRET,
        "posix",
        str(root),
    ]
    with running(command, store.endpoint, folder / "versitygw.log"):
        store.client.create_bucket(Bucket=store.bucket)
        yield store


AZURITE = shutil.which("azurite-blob") or ""
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The published key of every emulator."""

FAKE_GCS = shutil.which("fake-gcs-server") or ""


@contextmanager
def azurite(folder: Path) -> Iterator[dict[str, str]]:
    """Microsoft's emulator of Azure Blob Storage; yields the environment that leads to it."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [AZURITE, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort", str(port)]
    with running(command, endpoint, folder / "azurite.log"):
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": endpoint,
        }


@contextmanager
def fake_gcs(folder: Path) -> Iterator[dict[str, str]]:
    """An emulator of Google Cloud Storage in Go; yields the environment that leads to it."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    key = folder / "account.json"
    key.write_text(
        json.dumps(
            {
                "gcs_base_url": endpoint,
                "disable_oauth": True,
                "client_email": "",
                "private_key": "",
                "private_key_id": "",
            }
        )
    )
    command = [FAKE_GCS, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with running([*command, "-public-host", f"127.0.0.1:{port}"], endpoint, folder / "gcs.log"):
        yield {"GOOGLE_SERVICE_ACCOUNT": str(key), "endpoint": endpoint}
