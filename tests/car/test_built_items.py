"""The records of a built CAR's items: columns that read as a list of them."""

import numpy as np
import pytest

from ptolemy_core.car import items as module
from ptolemy_core.car.items import BuiltItem, BuiltItems
from ptolemy_core.dag import cid

_CIDS = [cid.of_digest(cid.RAW, bytes([k]) * 32) for k in range(5)]
_RECORDS = [
    BuiltItem(_CIDS[0], 59, b"", (7, 1)),
    BuiltItem(_CIDS[1], 100, b"n" * 32),
    BuiltItem(_CIDS[2], 1 << 40, b"", (-3, 2)),
    BuiltItem(_CIDS[3], (1 << 40) + 1, b"m" * 64, (0, 0)),
    BuiltItem(_CIDS[4], (1 << 40) + 9, b""),
]


def columns() -> BuiltItems:
    return BuiltItems(
        cids=b"".join(_CIDS),
        offsets=np.array([one.car_offset for one in _RECORDS], dtype=np.int64),
        nodes={1: b"n" * 32, 3: b"m" * 64},
        known=np.array([one.state is not None for one in _RECORDS]),
        states=np.array([one.state or (0, 0) for one in _RECORDS], dtype=np.int64),
    )


@pytest.mark.parametrize("page", [1, 2, 5, 100])
def test_records_in_order_are_the_same_whatever_is_made_at_once(
    monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    assert list(columns()) == _RECORDS


def test_single_records_slices_and_comparisons_are_those_of_a_list() -> None:
    made = columns()
    assert [made[k] for k in range(-5, 5)] == _RECORDS * 2
    assert made[1:4] == _RECORDS[1:4]
    assert len(made) == 5
    assert made == _RECORDS
    assert made != _RECORDS[:4]
    assert repr(made) == repr(_RECORDS)
    with pytest.raises(IndexError):
        made[5]
