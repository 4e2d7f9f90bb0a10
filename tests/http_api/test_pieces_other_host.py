"""CARs that one host built, served by another one that shares the Postgres, the outlines and the source alone."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ptolemy_core.catalog import stored_cars
from ptolemy_core.dag import cid
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from tests.http_api.pieces import COMMAND, curl, serving, status_of
from tests.pipeline import postgres as server
from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import entered

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
RENAMED = ("unshare", "--uts", "sh", "-c", 'hostname other && exec "$@"', "sh")


@dataclass
class Host:
    """Another host: a home of its own, and a name of its own where this user may give one."""

    env: dict[str, str]
    before: tuple[str, ...]


@pytest.fixture
def here(postgres: server.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    made = entered(tmp_path, postgres.database(), monkeypatch)
    yield made
    made.close()


@pytest.fixture
def there(here: Backend) -> Host:
    may = subprocess.run([*RENAMED, "hostname"], capture_output=True, text=True)
    env = {**here.env, "DAGSTER_HOME": str(here.root / "other" / "home"), "PYTHONWARNINGS": "ignore"}
    os.makedirs(env["DAGSTER_HOME"])
    if may.returncode == 0:
        assert may.stdout.strip() == "other" != socket.gethostname()
    return Host(env, RENAMED if may.returncode == 0 else ())


def test_a_car_is_served_by_another_host_from_the_shared_outline(
    here: Backend, there: Host, tmp_path: Path
) -> None:
    content = random.Random(2).randbytes(5 << 20)
    here.define(
        target=here.folder(files={"big.bin": content, "small": b"small"}),
        car_storage="generated",
        public_pieces=True,
    )
    scan(here.catalog, "delta")
    containerize(here.catalog, "delta")
    build_container(here.catalog, "delta", 0)
    stored = stored_cars.by_number(here.catalog, "delta", 0)
    with stored.open() as car:
        whole = car.read(0, car.size)
    outline = Path(stored.outline_path)
    got = tmp_path / "got.car"
    with serving(there, before=there.before) as other:
        url = f"{other.url}/piece/{cid.to_text(stored.piece_cid_v1)}"
        curl("-o", str(got), url)
        assert got.read_bytes() == whole
        # made again here: the other host opens the new one
        kept = outline.read_bytes()
        outline.unlink()
        assert status_of(url) == 503
        done = subprocess.run([*COMMAND, "rebuild", "delta/0"], env=here.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert outline.read_bytes() == kept
        curl("-o", str(got), "-r", "1000000-1999999", url)
        assert got.read_bytes() == whole[1_000_000:2_000_000]
