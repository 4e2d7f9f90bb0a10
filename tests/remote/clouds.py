"""A container of Azurite and a bucket of fake-gcs-server of its own for each test."""

import base64
import functools
import hashlib
import hmac
import itertools
import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import obstore
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from obstore.store import AzureStore, GCSStore

from tests.remote import servers
from tests.remote.cloud_server import CloudServer
from tests.remote.servers import Store

_numbers = itertools.count()


@dataclass(frozen=True)
class Cloud:
    """A store that a project can have as its source, or as its staging area."""

    root: str
    store: Any
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]

    @property
    def url(self) -> str:
        return f"{self.root}/pre"

    def put_all(self, files: Mapping[str, bytes]) -> None:
        for key, data in files.items():
            self.put(f"pre/{key}", data)

    def objects(self, folder: str) -> dict[str, bytes]:
        """All objects of a folder, by their names in it."""
        listed = [one["path"] for page in obstore.list(self.store, folder) for one in page]
        return {key.removeprefix(f"{folder}/"): bytes(obstore.get(self.store, key).bytes()) for key in listed}


def azure_request(environment: dict[str, str], path: str, query: str = "", data: bytes | None = None) -> None:
    """A request to Azurite with the shared key, as obstore can make no container, marker of a folder or odd key."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    if data is not None:
        headers["x-ms-blob-type"] = "BlockBlob"
    listed = "\n".join(f"{name}:{headers[name]}" for name in sorted(headers))
    resource = f"/{servers.AZURE_ACCOUNT}/{servers.AZURE_ACCOUNT}/{path}" + query.replace("?", "\n").replace(
        "=", ":"
    )
    length = str(len(data)) if data else ""
    kind = "application/octet-stream" if data is not None else ""
    text = f"PUT\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{listed}\n{resource}"
    digest = hmac.new(base64.b64decode(servers.AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {servers.AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    if kind:
        headers["Content-Type"] = kind
    url = f"{environment['AZURITE_BLOB_STORAGE_URL']}/{servers.AZURE_ACCOUNT}/{path}{query}"
    urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT", headers=headers)).close()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One for all tests: it takes seconds to start."""
    servers.need(servers.AZURITE, "npm install -g azurite")
    with servers.azurite(tmp_path_factory.mktemp("azurite")) as environment:
        yield environment


@pytest.fixture
def azure(azurite: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A new container."""
    for name, value in azurite.items():
        monkeypatch.setenv(name, value)
    container = f"data-{next(_numbers)}"
    azure_request(azurite, container, "?restype=container")
    store = AzureStore(container, client_options={"allow_http": True})

    def put(key: str, data: bytes) -> None:
        if key.endswith("/") or "//" in key or "/." in key:
            azure_request(azurite, f"{container}/{key}", data=data)
        else:
            obstore.put(store, key, data)

    return Cloud(f"az://{container}", store, put, lambda key: obstore.delete(store, key))


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    servers.need(servers.FAKE_GCS, "go install github.com/fsouza/fake-gcs-server@latest")
    with servers.fake_gcs(tmp_path_factory.mktemp("gcs")) as environment:
        yield environment


@pytest.fixture
def google(fake_gcs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A new bucket."""
    endpoint, bucket = fake_gcs["endpoint"], f"data-{next(_numbers)}"
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", fake_gcs["GOOGLE_SERVICE_ACCOUNT"])

    def send(method: str, path: str, data: bytes | None = None) -> None:
        headers = {"Content-Type": "application/json" if method == "POST" and "upload" not in path else "x/y"}
        request = urllib.request.Request(endpoint + path, data=data, method=method, headers=headers)
        urllib.request.urlopen(request).close()

    send("POST", "/storage/v1/b?project=x", json.dumps({"name": bucket}).encode())
    upload = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
    return Cloud(
        f"gs://{bucket}",
        GCSStore(bucket, client_options={"allow_http": True}),
        lambda key, data: send("POST", upload + quote(key, safe=""), data),
        lambda key: send("DELETE", f"/storage/v1/b/{bucket}/o/" + quote(key, safe="")),
    )


@pytest.fixture
def google_xml(moto: Store, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A new bucket that takes uploads.

    Google's XML interface, which our client uploads with, is that of S3 except for the authorization: moto's server
    has it, fake-gcs-server hasn't.
    """
    bucket = f"data{next(_numbers)}"  # moto doesn't decode a dash that is escaped
    moto.client.create_bucket(Bucket=bucket)
    signing = CloudServer(azure=False, endpoint=moto.endpoint, private=_key())
    for name, value in signing.environment.items():
        monkeypatch.setenv(name, value)
    store = GCSStore(bucket, client_options={"allow_http": True})
    return Cloud(
        f"gs://{bucket}",
        store,
        lambda key, data: moto.client.put_object(Bucket=bucket, Key=key, Body=data),
        lambda key: obstore.delete(store, key),
    )


@functools.cache
def _key() -> Any:
    """Of a service account; it takes a while to make."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(params=["azure", "google"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """One to read from."""
    _without_own_settings(monkeypatch)
    found: Cloud = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["azure", "google_xml"])
def writable_cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """One that takes CARs."""
    _without_own_settings(monkeypatch)
    found: Cloud = request.getfixturevalue(request.param)
    return found


def _without_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "5")
