"""Free space is looked at before every CAR: a clear stop with the bytes, never a full disk or a half-named file."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import containers
from ptolemy_core.errors import StagingError
from ptolemy_core.stages.blitz import pending
from ptolemy_core.staging import output

from .conftest import PROFILE, Scene

FILES = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(8)}


@pytest.fixture
def planned(stage: Scene) -> Scene:
    stage.put(FILES)
    stage.scan()
    assert len(stage.plan().containers) == 2
    return stage


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, size))


def size_of(stage: Scene, number: int) -> int:
    return containers.rows(stage.catalog, stage.name)[number].car_size


def test_exactly_enough_is_enough(planned: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    need = size_of(planned, 0) + output.RESERVE
    free(monkeypatch, need - 1)
    with pytest.raises(StagingError) as caught:
        planned.build(0)
    message = str(caught.value)
    assert f"has {need - 1} bytes free, a CAR of {size_of(planned, 0)} bytes needs {need}: move or" in message
    assert planned.in_staging() == []
    free(monkeypatch, need)
    assert planned.build(0)[1]


def test_it_is_looked_at_before_each_car(planned: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1 << 30)
    planned.build(0)
    free(monkeypatch, 1000)
    with pytest.raises(StagingError, match="has 1000 bytes free"):
        planned.build(1)
    assert [row.number for row in pending(planned.catalog, planned.name)] == [1]
    free(monkeypatch, 1 << 30)
    assert len(planned.blitz()) == 2


def test_what_others_have_yet_to_write_is_not_free(planned: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system can't take a CAR's room at once, its size says what will be written."""
    other = planned.staging / ".q-000007.car.part"
    with other.open("wb") as part:
        part.truncate(1 << 20)
    promised = (1 << 20) - other.stat().st_blocks * 512
    need = size_of(planned, 0) + output.RESERVE + promised
    free(monkeypatch, need - 1)
    with pytest.raises(StagingError, match=f"bytes free, {promised} of them reserved for CARs being built"):
        planned.build(0)
    free(monkeypatch, need)
    assert planned.build(0)[1]


def test_an_earlier_try_of_the_same_car_takes_nothing(
    planned: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = planned.staging / ".p-000000.car.lost-host.1.0.part"
    part.write_bytes(bytes(1 << 20))
    taken = part.stat().st_blocks * 512
    assert taken >= size_of(planned, 0)
    enough = output.RESERVE + size_of(planned, 0)
    free(monkeypatch, enough)
    assert output.free_space(str(planned.staging), ".p-000000.car.part") == (enough + taken, 0)
    assert planned.build(0)[1]
    assert not part.exists()


def test_disk_that_fills_up_in_the_middle_leaves_nothing(
    planned: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def full(descriptor: int, data: Any, offset: int) -> int:
        if os.path.realpath(f"/proc/self/fd/{descriptor}").endswith(".part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(
            StagingError, match="staging is full .No space left on device. while a CAR of [0-9]+ bytes"
        ):
            planned.build(0)
    assert planned.in_staging() == []
    assert planned.cars() == []
    assert len(planned.blitz()) == 2


BLITZ_ON_A_SMALL_DISK = """
import json, os, sys
from ptolemy_core.catalog import Catalog
from ptolemy_core.errors import StagingError
from ptolemy_core.dag.profile import Profile
from ptolemy_core.car import BuildOptions
from ptolemy_core.stages.blitz import Building, build_container, pending

def blitz():
    try:
        for row in pending(catalog, "p"):
            build_container(catalog, "p", row.number, Building(BuildOptions(unit=1016), Profile(512, 2, 400)))
    except StagingError as error:
        return str(error)

url, staging = sys.argv[1:]
catalog = Catalog(url)
first = blitz()
names = sorted(os.listdir(staging))
for name in names:
    os.unlink(os.path.join(staging, name))
print(json.dumps([first, names, blitz(), sorted(os.listdir(staging))]))
"""


def test_blitz_onto_a_small_disk_stops_in_time_and_goes_on(planned: Scene, catalog_url: str) -> None:
    """A file system with room for one CAR beside the reserve, mounted where only this test's process sees it."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no user mount a file system of their own")
    room = output.RESERVE + size_of(planned, 0) + 4096
    script = 'mount -t tmpfs -o size="$1" none "$2" && exec "$3" -c "$4" "$5" "$2"'
    arguments = [str(room), str(planned.staging), sys.executable, BLITZ_ON_A_SMALL_DISK, catalog_url]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    stopped, there, then, there_then = json.loads(run.stdout)
    assert f"a CAR of {size_of(planned, 1)} bytes needs" in stopped
    first, second = planned.cars()
    assert there == [first.file_name]
    assert then is None
    assert there_then == [second.file_name]
