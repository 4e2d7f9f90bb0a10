"""A file read from its descriptor has the CID that the builder gives it, at every boundary of the profile."""

import os
from pathlib import Path

import pytest

from ptolemy_core.car.root import root_cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.source.content import ContentReader
from tests.car.scene import SMALL

SIZES = sorted(
    {max(0, base * scale + off) for base in (1, 2, 3, 9, 27) for scale in (8, 72) for off in (-1, 0, 1)}
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("profile", [SMALL, Profile(chunk=512, width=2)])
def test_it_is_the_builders_cid(tmp_path: Path, size: int, profile: Profile) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(size))
    seen: list[int] = []
    with ContentReader(profile, seen.append) as reader, path.open("rb") as file:
        assert reader.cid(file.fileno(), size) == root_cid(os.fsencode(path), profile)
    assert sum(seen) == size


@pytest.mark.parametrize("size", [5, 100])
def test_a_file_that_ends_early_has_none(tmp_path: Path, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(size - 1))
    with ContentReader(SMALL) as reader, path.open("rb") as file:
        assert reader.cid(file.fileno(), size) is None
