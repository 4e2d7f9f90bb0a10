"""Azure and Google: keys that a tree can't hold are left out with their reasons, and fail no listing."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from ptolemy_core.errors import SourceUnreadableError, UnreadableError
from ptolemy_core.source import azure
from ptolemy_core.tree import Kind
from tests.remote import cloud_server
from tests.remote.cloud_server import CloudServer
from tests.remote.test_bucket import reasons, run, seen, write

GOOD = {"a": b"1" * 3000, "b/c d": b"2", "b/empty": b"", "é&<": b"3", "z": b"4"}
ODD = {"b//x": b"5", "b/./y": b"6", "c/../w": b"7", "/lead": b"8"}


@pytest.fixture(params=["az", "gs"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "5")
    with cloud_server.running(request.param == "az") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def url(cloud: CloudServer) -> str:
    return f"{'az' if cloud.azure else 'gs'}://data/pre"


def put(cloud: CloudServer, files: dict[str, bytes]) -> None:
    cloud.files.update({f"pre/{key}": data for key, data in files.items()})


def test_they_are_left_out_with_their_reasons_and_the_others_give_the_cars_of_a_folder(
    make: Any, cloud: CloudServer
) -> None:
    put(cloud, GOOD | ODD | {"folder/": b"", "b/": b""})
    far, local = make("far", target_dir=url(cloud), on_error="skip"), make("local")
    write(local.target, GOOD)
    (local.target / "folder").mkdir()
    for scene in (local, far):
        run(scene)
    found = reasons(far)
    assert set(found) == set(ODD)
    assert all("which no file can have" in reason for reason in found.values())
    assert {path: kind for path, kind in seen(far).items() if path not in ODD} == seen(local)
    assert seen(far)["folder"] == Kind.DIRECTORY
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    again = far.scan()
    assert (again.added, again.changed, again.gone) == (0, 0, 0)
    assert cloud.refused == []


def test_a_strict_project_names_the_key(make: Any, cloud: CloudServer) -> None:
    put(cloud, GOOD | ODD)
    with pytest.raises(UnreadableError, match="its key has an empty name"):
        make("far", target_dir=url(cloud)).scan()


def test_a_token_is_the_same_from_either_listing(make: Any, cloud: CloudServer) -> None:
    """So an odd key that comes later changes no other file."""
    put(cloud, GOOD)
    far = make("far", target_dir=url(cloud), on_error="skip")
    far.scan()
    put(cloud, ODD)
    later = far.scan()
    assert (later.changed, later.gone) == (0, 0)


def test_credentials_that_only_its_client_knows_fail_the_scan_with_the_key(
    make: Any, cloud: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, GOOD)
    far = make("far", target_dir=url(cloud), on_error="skip")
    put(cloud, {"b//x": b"5"})
    monkeypatch.setattr("ptolemy_core.source.azure.account", lambda profile: None)
    monkeypatch.setattr("ptolemy_core.source.google.account", lambda profile: None)
    with pytest.raises(SourceUnreadableError, match="'pre/b//x' has an empty name.*use a key of the account"):
        far.scan()


def test_a_shared_access_signature_is_part_of_the_url() -> None:
    from botocore.awsrequest import AWSRequest

    account = azure.account(
        {"azure_storage_account_name": "museum", "azure_storage_sas_key": "?sv=1&sig=a%2Bb"}
    )
    assert account is not None
    request = AWSRequest(method="GET", url="https://museum.blob.core.windows.net/data?comp=list")
    account.sign(request)
    assert request.prepare().url.endswith("/data?comp=list&sv=1&sig=a%2Bb")
