"""The fill of a CAR: units are closed as soon as they are complete, whatever the others wait for."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from ptolemy_core.car.fill import fill
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.layout import compute_layout
from ptolemy_core.source import Inputs
from tests.car.scene import whole

UNIT = 127 << 13
THREADS = 2
SLOW, LATER = 1, 6


def test_a_unit_that_is_read_slowly_does_not_keep_later_ones_from_being_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(12 * UNIT))
    items, source = whole(os.fsencode(tmp_path / "file"))
    layout = compute_layout(items)
    later_is_closed = threading.Event()

    class Slow(Inputs):
        def read_into(self, item: int, start: int, buffers: Sequence[memoryview]) -> None:
            if (SLOW - 0.5) * UNIT < start < SLOW * UNIT:  # a little is left of it for what isn't the file's
                assert later_is_closed.wait(30), f"unit {LATER} wasn't closed before unit {SLOW} was read"
            super().read_into(item, start, buffers)

    closed: dict[int, bytes] = {}

    def close(number: int, data: memoryview) -> None:
        closed[number] = bytes(data)
        if number == LATER:
            later_is_closed.set()

    slow = Slow(source.source, items, source.stamps, {})
    done: list[int] = []
    options = BuildOptions(threads=THREADS, unit=UNIT)
    digests = fill(layout, slow, close, options, progress=done.append)
    assert sum(done) == layout.car_size
    units = list(closed)
    assert units.index(SLOW) > units.index(LATER)

    again: dict[int, bytes] = {}
    plain = fill(layout, source, lambda number, data: again.update({number: bytes(data)}), options)
    assert (plain == digests).all()
    assert again == closed
