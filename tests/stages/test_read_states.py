"""The catalog keeps the state in which a build read each file, and knows files that CARs hold in several states."""

import os
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.catalog import stamps
from ptolemy_core.errors import SourceError

from .conftest import PROFILE, Scene, scene

UNIT = PROFILE.unit
TREE: scene.oracle.Content = {
    b"a": b"first",
    b"big": bytes(range(256)) * 20,
    b"e": {},
    b"link": scene.oracle.Link(b"a"),
}


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres").database()
        return url
    return f"sqlite:///{tmp_path}/home/catalog.db"


def states(stage: Scene, *between: Any) -> dict[bytes, tuple[int | None, int | None]]:
    found = list(stamps.read_stamps(stage.catalog, stage.name, *between))
    assert [one.path for one in found] == sorted(one.path for one in found)
    return {one.path: (one.read_ctime, one.read_inode) for one in found}


def of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ctime_ns, status.st_ino


def mixed(stage: Scene) -> list[list[bytes]]:
    return [stamps.mixed(stage.catalog, row.container_id) for row in stage.cars()]


def test_the_state_that_was_read_is_kept_and_not_the_scanned_one(make: Any) -> None:
    stage: Scene = make(car_size=1)
    stage.put(TREE)
    stage.scan()
    stage.plan()
    assert set(states(stage).values()) == {(None, None)}
    (stage.target / "a").chmod(0o600)  # no reason to refuse it
    stage.blitz()
    assert len(stage.cars()) > 3
    assert states(stage) == {
        b"a": of(stage.target / "a"),
        b"big": of(stage.target / "big"),
        b"e": (None, None),
        b"link": (None, None),
    }
    assert states(stage, b"b", b"e") == {b"big": of(stage.target / "big"), b"e": (None, None)}
    assert not any(mixed(stage))


def test_a_file_whose_shards_were_read_in_two_states_has_none(make: Any) -> None:
    stage: Scene = make(car_size=1)
    stage.put(TREE)
    stage.scan()
    stage.plan()
    stage.build(1)
    big = stage.target / "big"
    before = big.stat()
    with big.open("r+b") as file:
        file.write(b"sixteen bytes!!!")
    os.utime(big, ns=(0, before.st_mtime_ns))
    stage.blitz()
    assert states(stage)[b"big"] == (None, None)
    assert states(stage)[b"a"] == of(stage.target / "a")
    found = mixed(stage)
    assert len(found) > 3
    assert found[1] == [b"big"]
    assert all(one in ([b"big"], []) for one in found)


def test_a_file_that_changed_while_it_was_read_leaves_no_receipt(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    steps: list[int] = []

    def change(step: int) -> None:
        steps.append(step)
        if len(steps) == 1:
            (stage.target / "big").chmod(0o600)

    with pytest.raises(SourceError, match=r"big changed while it was read: run blitz again"):
        stage.build(0, options=BuildOptions(1, 1016), progress=change)
    assert stage.cars() == []
    assert stage.in_staging() == []
    assert len(stage.blitz()) == 2
    assert states(stage)[b"big"] == of(stage.target / "big")


def test_cars_of_older_versions_have_no_states(stage: Scene) -> None:
    stage.run(TREE)
    with stage.catalog.write() as connection:
        connection.execute(stamps.built_shard.update().values(read_ctime=None, read_inode=None))
    assert set(states(stage).values()) == {(None, None)}
    assert not any(mixed(stage))


def test_pages_of_states_lose_nothing(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_PAGE", 3)
    stage.run({b"%02d" % k: b"x" * k for k in range(10)})
    assert list(states(stage)) == [b"%02d" % k for k in range(10)]
    assert list(states(stage, b"02", b"08")) == [b"%02d" % k for k in range(2, 9)]
    assert None not in {ctime for ctime, _ in states(stage).values()}
