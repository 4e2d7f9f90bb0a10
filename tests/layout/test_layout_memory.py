"""What a container of many small files takes in memory."""

import tracemalloc

import numpy as np

from ptolemy_core.catalog.columns import NumberColumn
from ptolemy_core.layout import WHOLE, Items, compute_layout
from ptolemy_core.tree import Kind
from ptolemy_core.tree.packed import PackedPaths

_COUNT = 200_000


def test_layout_and_items_of_small_files_take_little_more_than_their_names() -> None:
    paths = (b"part-%d\0set-%04d\0%08d.bin" % (k // 50_000, k // 100, k) for k in range(_COUNT))
    tracemalloc.start()
    try:
        items = Items(
            PackedPaths(paths),
            np.broadcast_to(np.int8(Kind.FILE), (_COUNT,)),
            np.arange(_COUNT, dtype=np.int64),
            np.broadcast_to(np.int64(0), (_COUNT,)),
            np.broadcast_to(np.int32(WHOLE), (_COUNT,)),
        )
        layout = compute_layout(items)
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(layout) > _COUNT
    assert now / _COUNT < 80
    assert most / _COUNT < 160


def test_column_of_equal_numbers_takes_no_memory() -> None:
    same, other = NumberColumn(np.int64), NumberColumn(np.int32)
    for low in range(0, 30, 10):
        same.extend([7] * 10)
        other.extend([7] * 10 if low != 20 else list(range(10)))
    assert same.whole().tolist() == [7] * 30
    assert other.whole().tolist() == [7] * 20 + list(range(10))
    for _ in range(1000):
        same.extend([7] * 1000)
    assert same.whole().strides == (0,)
    assert NumberColumn(np.int8).whole().tolist() == []
