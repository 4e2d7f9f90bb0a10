"""The records of a built CAR's items: columns that read as a list of them."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from ptolemy_core.car import items as module
from ptolemy_core.car.items import BuiltItem, BuiltItems
from ptolemy_core.dag import cid
from ptolemy_core.layout import Block

_CODECS = [cid.RAW, cid.RAW, cid.DAG_PB, cid.DAG_PB, cid.RAW]
_CIDS = [cid.of_digest(codec, bytes([k]) * 32) for k, codec in enumerate(_CODECS)]
_BLOCKS = [5, 1, 2, 6, 3]
"""The root block of each item, of seven blocks."""
_RECORDS = [
    BuiltItem(_CIDS[0], 59, b"", (7, 1)),
    BuiltItem(_CIDS[1], 100, b"n" * 32),
    BuiltItem(_CIDS[2], 1 << 40, b"", (-3, 2)),
    BuiltItem(_CIDS[3], (1 << 40) + 1, b"m" * 64, (0, 0)),
    BuiltItem(_CIDS[4], (1 << 40) + 9, b""),
]


def _of_blocks(values: Iterable[int]) -> NDArray[np.int64]:
    out = np.full(7, Block.DIRECTORY, dtype=np.int64)
    out[_BLOCKS] = list(values)
    return out


def columns() -> BuiltItems:
    return BuiltItems(
        roots=np.array(_BLOCKS, dtype=np.int32),
        kinds=_of_blocks([Block.LEAF, Block.LEAF, Block.SYMLINK, Block.FILE, Block.LEAF]).astype(np.int8),
        offsets=_of_blocks([one.car_offset for one in _RECORDS]),
        digests=np.array([[k] * 32 for k in _of_blocks(range(5))], dtype=np.uint8),
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
