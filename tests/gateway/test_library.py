"""CARs that a server has open: opening one keeps nobody else waiting, and one that can't be opened takes no place."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ptolemy_core.catalog import served
from ptolemy_core.catalog.served import HeldCar
from ptolemy_core.errors import StagingError
from ptolemy_core.gateway.library import Library
from ptolemy_core.staging.stored import OpenCar, StoredCar
from tests.gateway.holdings import scene_in


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> list[HeldCar]:
    stage = scene_in(tmp_path_factory.mktemp("library"))
    stage.run({b"%02d" % number: bytes([number]) * 900 for number in range(12)})
    held = [next(iter(served.pieces(stage.catalog, row.piece_cid_v1, public=True))) for row in stage.cars()]
    assert len(held) > 2
    return held


@pytest.fixture
def library() -> Iterator[Library]:
    made = Library(most=2)
    yield made
    made.close()


def test_a_car_that_opens_slowly_keeps_no_other_waiting(
    cars: list[HeldCar], library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = cars[:2]
    may_open, opens = threading.Event(), []
    real = StoredCar.open

    def open_late(stored: StoredCar) -> OpenCar:
        opens.append(stored.file_name)
        if stored == slow.stored:
            assert may_open.wait(30)
        return real(stored)

    monkeypatch.setattr(StoredCar, "open", open_late)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(library.take, slow) for _ in range(2)]
        try:
            with pool.submit(library.take, quick).result(20).car as car:
                assert car.size == quick.size
        finally:
            may_open.set()
        first, second = (one.result(20) for one in waiting)
    assert first is second
    assert sorted(opens) == sorted([slow.stored.file_name, quick.stored.file_name])


def test_a_car_that_can_not_be_opened_takes_no_place(
    cars: list[HeldCar], library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: StoredCar) -> OpenCar:
        raise StagingError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(StoredCar, "open", fail)
        for _ in range(3):
            with pytest.raises(StagingError):
                library.take(cars[0])
    assert len(library) == 0
    with library.use(cars[0]) as car:
        assert car.size == cars[0].size
