"""Azure and Google, on their emulators: the same CARs as of a folder, and no change that goes unnoticed."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import obstore
import pytest
from obstore.store import AzureStore

from ptolemy_core.errors import SettingsError, SourceError, UnreadableError
from ptolemy_core.tree import Kind
from tests.remote import servers
from tests.remote.test_bucket import FILES, reasons, run, seen, write

ODD = {"b//x": b"5", "b/./y": b"6", "c/../w": b"7", "/lead": b"8"}

_numbers = itertools.count()


@dataclass(frozen=True)
class Cloud:
    """A store that a project can have as its source."""

    url: str
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]

    def put_all(self, files: Mapping[str, bytes]) -> None:
        for key, data in files.items():
            self.put(f"pre/{key}", data)


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

    return Cloud(f"az://{container}/pre", put, lambda key: obstore.delete(store, key))


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    servers.need(servers.FAKE_GCS, "go install github.com/fsouza/fake-gcs-server@latest")
    with servers.fake_gcs(tmp_path) as environment:
        endpoint = environment.pop("endpoint")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def send(method: str, path: str, data: bytes | None = None) -> None:
            headers = {
                "Content-Type": "application/json" if method == "POST" and "upload" not in path else "x/y"
            }
            request = urllib.request.Request(endpoint + path, data=data, method=method, headers=headers)
            urllib.request.urlopen(request).close()

        send("POST", "/storage/v1/b?project=x", json.dumps({"name": "data"}).encode())
        upload = "/upload/storage/v1/b/data/o?uploadType=media&name="
        yield Cloud(
            "gs://data/pre",
            lambda key, data: send("POST", upload + quote(key, safe=""), data),
            lambda key: send("DELETE", "/storage/v1/b/data/o/" + quote(key, safe="")),
        )


@pytest.fixture(params=["azure", "google"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "5")
    found: Cloud = request.getfixturevalue(request.param)
    return found


def test_a_cloud_and_a_folder_of_the_same_files_give_the_same_cars(make: Any, cloud: Cloud) -> None:
    """With a marker of an empty folder, one of a folder that isn't empty, and an empty file."""
    cloud.put_all({**FILES, "empty/": b"", "a/": b""})
    local, far = make("local"), make("far", target_dir=cloud.url)
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


def test_keys_that_a_tree_cant_hold_are_left_out_with_their_reasons(make: Any, cloud: Cloud) -> None:
    cloud.put_all(FILES)
    far = make("far", target_dir=cloud.url, on_error="skip")
    far.scan()
    cloud.put_all(ODD)
    later = far.scan()
    assert (later.changed, later.gone) == (0, 0)
    found = reasons(far)
    assert set(found) == set(ODD)
    assert all("which no file can have" in reason for reason in found.values())
    local = make("local")
    write(local.target, FILES)
    run(local)
    run(far)
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    with pytest.raises(UnreadableError, match="its key has an empty name"):
        make("strict", target_dir=cloud.url).scan()


def test_an_overwritten_and_a_deleted_object_are_refused_by_name(make: Any, cloud: Cloud) -> None:
    cloud.put_all(FILES)
    far = make("far", target_dir=cloud.url)
    far.scan()
    far.plan()
    cloud.put("pre/z", b"LAST")
    with pytest.raises(SourceError, match="pre/z changed since the scan, it was overwritten"):
        far.blitz()
    far.scan()
    far.plan()
    cloud.delete("pre/big")
    with pytest.raises(SourceError, match="pre/big is missing since the scan"):
        far.blitz()


def test_a_profile_of_a_cloud_is_read_from_a_file_that_nobody_else_may_read(
    make: Any, azure: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.put_all(FILES)
    profiles = tmp_path / "profiles"
    profiles.write_text(
        f"[museum]\nazure_storage_account_name = {servers.AZURE_ACCOUNT}\n"
        f"azure_storage_account_key = {servers.AZURE_KEY}\nazure_storage_use_emulator = true\n"
    )
    monkeypatch.setenv("PTOLEMY_PROFILES", str(profiles))
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_USE_EMULATOR"):
        monkeypatch.delenv(name)
    profiles.chmod(0o644)
    with pytest.raises(SettingsError, match="readable by nobody else: chmod 600"):
        make("open", target_dir=azure.url, source_profile="museum")
    profiles.chmod(0o600)
    with pytest.raises(SettingsError, match="no profile 'other'"):
        make("other", target_dir=azure.url, source_profile="other")
    far = make("far", target_dir=azure.url, source_profile="museum")
    assert far.scan().files == len(FILES)
