"""Build options: what is chosen where nothing is said."""

import pytest

from ptolemy_core.car.options import SMALL_UNIT, UNIT, BuildOptions
from ptolemy_core.layout import ItemsBuilder, compute_layout
from ptolemy_core.tree import Kind


@pytest.mark.parametrize(("largest", "unit"), [(4096, SMALL_UNIT), (64 << 10, SMALL_UNIT), (1 << 20, UNIT)])
def test_a_car_of_small_files_is_built_in_units_that_stay_in_the_cache(largest: int, unit: int) -> None:
    rows = [(b"a", Kind.FILE, 10), (b"b", Kind.FILE, largest)]
    layout = compute_layout(ItemsBuilder().extend(rows).build())
    assert BuildOptions().unit_of(layout) == unit
    assert BuildOptions(unit=1016).unit_of(layout) == 1016
