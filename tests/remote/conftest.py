"""A bucket of its own for each test, on each of the stores that are installed."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.remote import servers
from tests.remote.clouds import azure, azurite, cloud, fake_gcs, google, google_xml, writable_cloud
from tests.remote.servers import Store
from tests.stages.conftest import catalog_url, make

__all__ = [
    "azure",
    "azurite",
    "catalog_url",
    "cloud",
    "fake_gcs",
    "google",
    "google_xml",
    "make",
    "writable_cloud",
]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as store:
        yield store


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    servers.need(servers.VERSITYGW, "go install github.com/versity/versitygw/cmd/versitygw@latest")
    with servers.versitygw(tmp_path_factory.mktemp("versitygw")) as store:
        yield store


@pytest.fixture(params=["moto", "versitygw"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Store:
    """A new bucket, and the environment that leads to it."""
    server: Store = request.getfixturevalue(request.param)
    return own_bucket(server, monkeypatch, tmp_path)


@pytest.fixture
def bucket(moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Store:
    """A new bucket of one store alone."""
    return own_bucket(moto, monkeypatch, tmp_path)


def own_bucket(server: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Store:
    one = replace(server, bucket=f"bucket-{next(_numbers)}")
    one.client.create_bucket(Bucket=one.bucket)
    use(one, monkeypatch, tmp_path)
    return one


def use(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Set the environment that leads to a store, and nothing of the user's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "10")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
