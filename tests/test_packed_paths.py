"""Packed paths: they read as the list that they were made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core.tree import packed
from ptolemy_core.tree.packed import PackedPaths, by_folder, paths_at

_NAMES = st.binary(min_size=1, max_size=4).filter(lambda name: b"\0" not in name)
_PATHS = st.lists(st.lists(_NAMES, max_size=3).map(b"\0".join), max_size=12)


@pytest.fixture(autouse=True, params=[1, 3, 8192], scope="module")
def page(request: pytest.FixtureRequest) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_PAGE", request.param)
        yield


@given(_PATHS, st.lists(_NAMES, max_size=5))
def test_packed_paths_are_those_of_the_list(paths: list[bytes], more: list[bytes]) -> None:
    made = PackedPaths(paths)
    made.extend(more)
    made.finish()
    paths = paths + more
    assert len(made) == len(paths)
    assert list(made) == paths
    assert made == paths
    assert [made[k] for k in range(-len(paths), len(paths))] == paths * 2
    assert made.lengths().tolist() == [len(path.rpartition(b"\0")[2]) for path in paths]
    for low in range(len(paths)):
        assert made[low:] == paths[low:]
        assert made[low : low + 2] == paths[low : low + 2]
    assert made[::-1] == paths[::-1]


@given(_PATHS)
def test_groups_are_the_paths_folder_by_folder_packed_or_not(paths: list[bytes]) -> None:
    for given_paths in (paths, PackedPaths(paths)):
        groups = list(by_folder(given_paths))
        joined = [folder + b"\0" + name if folder else name for folder, names in groups for name in names]
        assert joined == paths


@given(_PATHS.filter(bool), st.data())
def test_some_paths_are_found_by_their_numbers(paths: list[bytes], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(paths) - 1)))
    some = np.array(rows, dtype=np.int64)
    every = np.arange(len(paths))
    for given_paths in (paths, PackedPaths(paths)):
        assert paths_at(given_paths, some) == [paths[row] for row in rows]
        assert paths_at(given_paths, every) == paths


def test_no_path_at_a_number_beyond_the_last() -> None:
    with pytest.raises(IndexError):
        PackedPaths([b"a"])[1]
