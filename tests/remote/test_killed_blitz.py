"""kill -9 of a whole `ptolemy blitz`, run and steps, while it sends CARs to a store: the next one goes on."""

import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.stages import reservation
from ptolemy_core.staging import store as staging
from tests.pipeline.backend import Backend, in_process, plan_small
from tests.pipeline.fixtures import sqlite
from tests.pipeline.processes import started_command, wait_until
from tests.remote.proxy import Proxy
from tests.remote.servers import Store
from tests.remote.test_staged_in_store import in_store, staged, uploads

__all__ = ["sqlite"]

_SIZE = 24 << 20
"""Bytes of a file, and of the CAR that it gets: two parts of an upload."""

_BLITZ = [sys.executable, "-c", "from ptolemy_dagster.cli import main; main()", "blitz", "delta"]


def kill_all_of(home: str) -> list[str]:
    """kill -9 every process of a home, also those with sessions of their own; their command lines."""
    killed = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"DAGSTER_HOME={home}".encode() in (place / "environ").read_bytes().split(b"\0"):
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                os.kill(int(place.name), signal.SIGKILL)
                killed.append(line)
    return killed


@pytest.fixture
def planned(sqlite: Backend, bucket: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """`delta`, staged in a bucket, and `calm` with the same plan, built into a folder."""
    files = {f"{number}.bin": random.Random(number).randbytes(_SIZE) for number in range(3)}
    target = sqlite.folder(files=files)
    for name, place in (("delta", f"s3://{bucket.bucket}/cars"), ("calm", str(sqlite.staging("calm")))):
        sqlite.define(name, target, staging_dir=place)
        assert plan_small(sqlite.catalog, name, _SIZE + (1 << 16)) == len(files)
    with sqlite.instance() as instance:
        in_process("blitz", "calm", instance)
    yield sqlite
    kill_all_of(sqlite.env["DAGSTER_HOME"])


@pytest.mark.slow
def test_the_next_blitz_goes_on_and_leaves_nothing_but_the_cars(planned: Backend, bucket: Store) -> None:
    home = planned.env["DAGSTER_HOME"]
    killed: list[str] = []
    parts = 0

    def kill_at_the_third_part(number: int) -> None:
        nonlocal parts
        if "partNumber=" in proxy.requests[number - 1]:
            parts += 1
            if parts == 3:
                killed.extend(kill_all_of(home))

    with (
        Proxy(bucket, before=kill_at_the_third_part) as proxy,
        started_command(planned_at(planned, proxy.front), *_BLITZ) as blitz,
    ):
        wait_until(lambda: killed)
        assert blitz.wait() == -signal.SIGKILL
    assert len(killed) > 2, "the run had processes of its own"
    assert len(planned.cars()) < 3
    assert uploads(bucket), "it was killed midway through an upload"
    with started_command(planned_at(planned, bucket), *_BLITZ) as blitz:
        assert blitz.wait() == 0, (planned.root / "process.log").read_text()
    assert in_store(bucket) == {
        name: (planned.staging("calm") / name).read_bytes() for name in planned.cars("calm")
    }
    assert planned.cars() == planned.cars("calm")
    assert uploads(bucket) == []
    assert [path for path in (Path(home) / "staging" / "delta").rglob("*") if path.is_file()] == []


def planned_at(backend: Backend, store: Store) -> Backend:
    """The home, with the environment that leads to a store."""
    return Backend(backend.root, {**backend.env, **store.environment})


def test_uploads_of_cars_that_are_never_built_again_are_deleted_a_day_later(
    make: Any, bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And nobody else's; as are the files of this machine."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("PTOLEMY_HOME", str(tmp_path / "own"))
    far = staged(make, bucket)
    keys = ["cars/baga6ea4seaqabc.car", "cars/movie.bin", "other/baga6ea4seaqabc.car"]
    for key in keys:
        bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key=key)
    left = Path(far.project.local_dir) / "outlines" / "far" / ".far-000007.car.host.1.abc.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a killed build")
    with monkeypatch.context() as young:
        young.setattr(staging, "_GIVEN_UP", 1e12)  # by moto's clock every upload began in 2010
        reservation.drop_parts(far.catalog, far.project)
        assert sorted(uploads(bucket)) == keys
    assert not left.exists()
    reservation.drop_parts(far.catalog, far.project)
    assert sorted(uploads(bucket)) == keys[1:]
