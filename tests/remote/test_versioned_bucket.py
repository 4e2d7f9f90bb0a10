"""A bucket that keeps versions: only the one that was scanned is stored, and no right to read others is needed."""

from typing import Any

import pytest

from ptolemy_core.errors import SourceError
from tests.remote import conftest
from tests.remote.proxy import Proxy
from tests.remote.servers import Store
from tests.remote.test_bucket import FILES, delete, put, remote, run, write


@pytest.fixture
def versioned(bucket: Store) -> Store:
    bucket.client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration={"Status": "Enabled"})
    put(bucket, {key: b"older" for key in FILES})
    put(bucket, FILES)
    return bucket


def newest(store: Store, key: str) -> str:
    """The version that the store names in its answer to a HEAD."""
    version: str = store.client.head_object(Bucket=store.bucket, Key=f"pre/{key}")["VersionId"]
    return version


def undo(store: Store, key: str) -> None:
    """Delete the newest version, or the mark of a deletion: the one before is the newest again."""
    listed = store.client.list_object_versions(Bucket=store.bucket, Prefix=f"pre/{key}")
    every = listed.get("Versions", []) + listed.get("DeleteMarkers", [])
    [last] = [one for one in every if one["IsLatest"]]
    store.client.delete_object(Bucket=store.bucket, Key=last["Key"], VersionId=last["VersionId"])


def test_another_version_and_a_deletion_are_refused_by_name_until_they_are_undone(
    make: Any, versioned: Store
) -> None:
    local, far = make("local"), remote(make, versioned)
    write(local.target, FILES)
    run(local)
    far.scan()
    far.plan()
    scanned = newest(versioned, "z")
    put(versioned, {"z": b"LAST"})
    assert newest(versioned, "z") != scanned
    with pytest.raises(SourceError, match="pre/z changed since the scan, it was overwritten"):
        far.blitz()
    undo(versioned, "z")
    assert newest(versioned, "z") == scanned
    delete(versioned, "big")
    with pytest.raises(SourceError, match="pre/big is missing since the scan"):
        far.blitz()
    undo(versioned, "big")
    assert [row.file_name for row in far.blitz()] == [row.file_name for row in local.cars()]
    assert far.problems() == []


def test_the_same_bytes_as_another_version_are_the_object_that_was_scanned(
    make: Any, versioned: Store
) -> None:
    far = remote(make, versioned)
    far.scan()
    far.plan()
    put(versioned, FILES)
    far.blitz()
    assert far.problems() == []


def test_a_version_that_comes_midway_is_refused_by_the_store_without_the_right_to_read_versions(
    make: Any, versioned: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Later ranges are asked for with If-Match of the ETag that the first answer named, never by version."""
    far = remote(make, versioned, "p")
    far.scan()
    far.plan()

    def overwrite_after_the_first_range(number: int) -> None:
        lines = [line for line in proxy.requests if "/pre/big" in line]
        if len(lines) == 2 and "/pre/big" in proxy.requests[number - 1]:
            put(versioned, {"big": bytes(len(FILES["big"]))})

    with Proxy(versioned, before=overwrite_after_the_first_range) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        with pytest.raises(SourceError, match="pre/big changed since the scan, it was overwritten"):
            far.blitz()
        reads = [head.lower() for head in proxy.heads if head.startswith("GET") and "/pre/big" in head]
    assert len(reads) > 1
    assert any("if-match: " in head for head in reads[1:])
    assert not any("versionid" in head for head in proxy.heads)
    assert any(" 412 " in answer for answer in proxy.answers)
