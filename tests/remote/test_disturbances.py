"""A store that throttles, answers with errors, breaks connections or is restarted loses nothing."""

import random
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core import urls
from ptolemy_core.errors import SourceError
from ptolemy_core.source import store_errors
from ptolemy_core.source.remote import open_remote
from ptolemy_core.source.stamps import Stamp
from ptolemy_core.source.store_errors import of_exception, of_response
from tests.remote import conftest, servers
from tests.remote.proxy import Proxy
from tests.remote.servers import Store
from tests.remote.test_bucket import put, remote, run, write


def content(seed: int) -> dict[str, bytes]:
    choose = random.Random(seed)
    files = {f"small/{k}": choose.randbytes(choose.randrange(600)) for k in range(150)}
    return files | {f"big{k}": choose.randbytes(choose.randrange(9_000)) for k in range(12)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(store_errors, "_FIRST_WAIT", 0.005)
    monkeypatch.setattr(store_errors, "_LONGEST_WAIT", 0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_random_disturbances_change_no_bit_of_any_car(
    make: Any, versitygw: Store, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    store = conftest.own_bucket(versitygw, monkeypatch, tmp_path)
    files = content(seed)
    put(store, files)
    local = make("local", car_size=31)
    write(local.target, files)
    run(local)
    monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "60")
    with Proxy(store, disturbances=100, seed=seed) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        far = remote(make, store, car_size=31)
        run(far)
        assert [verdict.problems for verdict in far.verify(source=True)] == [[]] * len(far.cars())
        assert proxy.disturbances == 0
        assert len(proxy.done) == 7
    assert [(row.file_name, row.sha256) for row in far.cars()] == [
        (row.file_name, row.sha256) for row in local.cars()
    ]


def test_a_store_that_is_restarted_midway_is_waited_for(
    make: Any, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, versitygw: Store
) -> None:
    root = tmp_path / "buckets"
    root.mkdir()
    port = servers.free_port()
    command = [servers.VERSITYGW, "--port", f"127.0.0.1:{port}", "--access", servers.ACCESS]
    command += ["--secret", servers.SECRET, "posix", str(root)]

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = start()
    try:
        store = Store(f"http://127.0.0.1:{port}")
        servers.wait_for(store.endpoint, process, tmp_path / "none")
        store.client.create_bucket(Bucket=store.bucket)
        files = content(3)
        put(store, files)

        def restart(number: int) -> None:
            nonlocal process
            if number in (40, 90):
                process.kill()
                process.wait()
                threading.Timer(0.3, again).start()

        def again() -> None:
            nonlocal process
            process = start()

        with Proxy(store, before=restart) as proxy:
            conftest.use(proxy.front, monkeypatch, tmp_path)
            far = remote(make, store, car_size=31)
            far.scan()
            far.plan()
            far.blitz()
            assert len(proxy.requests) > 100
        local = make("local", car_size=31)
        write(local.target, files)
        run(local)
        assert [row.sha256 for row in far.cars()] == [row.sha256 for row in local.cars()]
    finally:
        time.sleep(0.4)
        process.kill()
        process.wait()


def test_an_object_overwritten_midway_through_its_build_is_refused_by_name(
    make: Any, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is read in several ranges; the first of them are of the old version."""
    put(store, {"big": bytes(20_000)})
    gets = 0

    def overwrite(number: int) -> None:
        nonlocal gets
        gets += proxy.requests[number - 1].split()[1].endswith("/pre/big")
        if gets == 6:
            gets += 100
            put(store, {"big": bytes(19_999) + b"x"})

    with Proxy(store, before=overwrite) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        far = remote(make, store, car_size=31)
        far.scan()
        far.plan()
        with pytest.raises(SourceError, match="pre/big changed since the scan, it was overwritten"):
            far.blitz()
    assert gets > 100


def test_the_store_itself_is_asked_to_refuse_another_version_than_the_first_that_was_read(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(bucket, {"big": bytes(3000)})
    with Proxy(bucket) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        listed = open_remote(urls.parse(f"s3://{bucket.bucket}/pre"), None)
        [[entry]] = listed.entries()
        stamp, view = Stamp(entry.size, entry.token), memoryview(bytearray(1000))
        for at in (0, 1000):
            listed.read(entry.path, at, [view], stamp)
        first, second = [head.lower() for head in proxy.heads if "/pre/big HTTP" in head]
        assert "if-match" not in first
        etag = bucket.client.head_object(Bucket=bucket.bucket, Key="pre/big")["ETag"]
        assert f"if-match: {etag}".lower() in second
        put(bucket, {"big": bytes(2999) + b"x"})
        with pytest.raises(SourceError, match="pre/big changed since the scan, it was overwritten"):
            listed.read(entry.path, 2000, [view], stamp)
        assert " 412 " in proxy.answers[-1]


def test_a_store_that_stays_away_fails_the_build_with_its_name_after_a_while(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(bucket, {"a": b"x" * 2000})
    with Proxy(bucket) as proxy:
        conftest.use(proxy.front, monkeypatch, tmp_path)
        far = remote(make, bucket)
        far.scan()
        far.plan()
        proxy.disturbances, proxy.share = 1_000_000, 1.0
        monkeypatch.setenv("PTOLEMY_STORE_PATIENCE", "0.5")
        with pytest.raises(SourceError, match="pre/a can't be read"):
            far.blitz()


def test_errors_tell_the_status_and_nothing_that_may_be_secret() -> None:
    body = (
        b"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId>"
        b"<StringToSign>SECRET</StringToSign></Error>"
    )
    error = of_response(403, body)
    assert str(error) == "HTTP 403 SignatureDoesNotMatch: the credentials don't allow it"
    assert not error.temporary
    text = f"Error performing GET https://host/x?sig=SECRET - status code: 503 Slow: {body.decode()}"
    found = of_exception(RuntimeError(text))
    assert str(found) == "HTTP 503 SignatureDoesNotMatch"
    assert found.temporary
    assert "SECRET" not in str(of_exception(RuntimeError("SECRET")))


def test_a_bucket_in_another_region_says_which() -> None:
    error = of_response(301, b"<Error><Code>PermanentRedirect</Code></Error>", "eu-west-3")
    assert "in region eu-west-3, set AWS_REGION" in str(error)
