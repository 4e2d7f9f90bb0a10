"""Who cancels a stage needn't wait for the CAR that it is at: long loops look for the interrupt."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.readback import read_back
from ptolemy_core.catalog import cars
from ptolemy_core.interrupts import deferred
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import Inputs
from ptolemy_core.stages.blitz import Building, build_container
from ptolemy_core.stages.verify import Verifying, verify
from ptolemy_core.staging.output import partial_file

from .conftest import PROFILE, Scene


class Interrupted(BaseException):
    """What the handler of these tests raises."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise Interrupted(number)

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def planned(stage: Scene, files: int) -> None:
    stage.put({b"%04d" % k: b"x" for k in range(files)})
    stage.scan()
    stage.plan()


def test_a_verification_that_is_canceled_reads_no_car_to_its_end(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(stage, 3)
    stage.build(0)
    ended = threading.Event()

    def endless(*_: object, progress: Callable[[int], None], **__: object) -> None:
        time.sleep(0.3)  # until the verification waits for this
        interrupt()
        try:
            for so_far in range(10**9):
                progress(so_far)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr("ptolemy_core.stages.verify_job.verify_car", endless)
    with pytest.raises(Interrupted):
        list(verify(stage.catalog, stage.name, Verifying(profile=PROFILE)))
    assert ended.is_set()


def test_a_build_that_is_canceled_reads_no_more_files(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 300
    planned(stage, count)
    calls = 0

    def slow(_: Inputs, items: Any, *__: object) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            interrupt()
        time.sleep(0.01)
        return np.zeros(len(items), dtype=np.bool_)

    monkeypatch.setattr("ptolemy_core.car.assemble._SMALL_BATCH", 1)
    monkeypatch.setattr(Inputs, "read_small", slow)
    monkeypatch.setattr(Inputs, "read_into", lambda *_: time.sleep(0.01))
    with pytest.raises(Interrupted):
        build_container(
            stage.catalog, stage.name, 0, Building(BuildOptions(unit=127 << 10), PROFILE)
        )  # one unit
    assert calls < count
    assert list(cars.rows(stage.catalog, stage.name)) == []
    assert list(Path(stage.staging).iterdir()) == []


def test_a_build_that_is_canceled_while_it_is_laid_out_ends_there(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(stage, 3)
    laid_out = []

    def layout(*arguments: Any) -> Any:
        interrupt()
        laid_out.append("all")
        return compute_layout(*arguments)

    monkeypatch.setattr("ptolemy_core.stages.build_job.compute_layout", layout)
    with pytest.raises(Interrupted):
        stage.build(0)
    assert laid_out == []


def test_the_pass_for_a_cars_sha256_can_be_canceled(tmp_path: Path) -> None:
    committed: list[int] = []
    with pytest.raises(Interrupted), deferred(), partial_file(str(tmp_path / ".part"), 1016 * 10) as output:
        interrupt()
        read_back(output, 1016 * 10, 1016, lambda number, _: committed.append(number))
    assert committed == []
