"""A hundred thousand keys on a real server."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.source import open_target
from tests.remote import conftest, servers
from tests.remote.test_bucket import remote

KEYS = 100_000


@pytest.mark.slow
def test_a_hundred_thousand_keys_are_scanned_with_flat_memory(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, versitygw: Any
) -> None:
    """Versitygw's objects are files, so they can be made without it."""
    with servers.versitygw(tmp_path) as store:
        conftest.use(store, monkeypatch, tmp_path)
        for folder in range(100):
            place = tmp_path / "buckets" / store.bucket / "pre" / f"d{folder:02}" / "e-f"
            place.mkdir(parents=True)
            for number in range(KEYS // 100):
                (place / f"{number}").write_bytes(b"x" * (number % 7))
        scene = remote(make, store)
        first = scene.scan()
        assert first.files == first.added == KEYS
        again = scene.scan()
        assert (again.added, again.changed, again.gone) == (0, 0, 0)
        tracemalloc.start()
        count = sum(map(len, open_target(scene.project).entries()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == KEYS
        assert peak < 60e6, peak
