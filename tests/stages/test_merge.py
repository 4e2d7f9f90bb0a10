"""The merge of a walk with the catalog, whatever the sizes of the walk's batches and the catalog's pages."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptolemy_core.catalog import scans
from ptolemy_core.catalog.schema import file as files
from ptolemy_core.catalog.schema import skipped
from ptolemy_core.source.listed import Entry, Listed, listed
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.walk import UNLISTED
from ptolemy_core.tree import LEFT_OUT

from .conftest import Scene, small_batches

_numbers = itertools.count()
NAMES = [b"a", b"b", b"c\xff", b"d"]
Tree = dict[bytes, int]
"""The mtime of each file."""

trees = st.dictionaries(
    st.builds(lambda folder, name: folder + b"\x00" + name, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.integers(0, 2),
    max_size=16,
)


def walked(tree: Tree, unlisted: set[bytes]) -> list[Entry]:
    """What a walk yields."""
    found = [
        Entry(path, 0, 5, mtime) for path, mtime in tree.items() if path.split(b"\x00")[0] not in unlisted
    ]
    found += [Entry(path, LEFT_OUT, 0, 0, None, f"{UNLISTED}: Permission denied") for path in unlisted]
    return sorted(found)


def live(stage: Scene) -> dict[bytes, tuple[int, int]]:
    return {row.path: (row.kind, row.mtime) for row in stage.files()}


def once(
    stage: Scene, entries: list[Entry], size: int, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Any:
    def batches(*args: Any, **named: Any) -> Iterator[Listed]:
        for low in range(0, len(entries), size):
            yield listed(entries[low : low + size])

    monkeypatch.setattr(PosixSource, "listed", batches)
    return stage.scan(**options)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    trees,
    trees,
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
)
def test_live_rows_are_what_was_met_and_what_could_not_be_looked_at(
    make: Any,
    first: Tree,
    second: Tree,
    shut: set[bytes],
    later: set[bytes],
    size: int,
    page: int,
    same: bool,
) -> None:
    stage = make(f"p{next(_numbers)}", on_error="skip")
    second = first if same else second
    with pytest.MonkeyPatch.context() as patched:
        small_batches(patched, page)
        once(stage, walked(first, shut), size, patched)
        before = live(stage)
        assert before == {e.path: (e.kind, e.token) for e in walked(first, shut)}
        met = {e.path: (e.kind, e.token) for e in walked(second, later)}
        kept = {
            path: row for path, row in before.items() if b"\x00" in path and path.split(b"\x00")[0] in later
        }
        accept = {"accept_loss": True}
        result = once(stage, walked(second, later), size, patched, **accept)
        assert live(stage) == kept | met
        assert result.added == len(met.keys() - before.keys())
        assert result.changed == sum(before[path] != met[path] for path in before.keys() & met.keys())
        assert result.gone == len(before.keys() - kept.keys() - met.keys())
        assert scans.totals(stage.catalog, stage.name) == scans.counted(stage.catalog, stage.name)
        again = once(stage, walked(second, later), size, patched)
        assert (again.added, again.changed, again.gone) == (0, 0, 0)


def test_a_dropped_version_among_unchanged_ones_is_met_anew(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = walked({b"a\x00%03d" % k: 1 for k in range(100)}, set())
    once(stage, tree, 40, monkeypatch)
    with stage.catalog.write() as connection:
        number = connection.scalar(sa.select(files.c.id).where(files.c.path == b"a\x00057"))
        values = {"project": stage.name, "file_id": number, "container": 0, "shard": 0, "reason": "changed"}
        connection.execute(skipped.insert().values(values | {"skipped_at": 1.0}))
    result = once(stage, tree, 40, monkeypatch)
    assert (result.added, result.changed, result.retried, result.gone) == (0, 1, 1, 0)
    assert len(stage.files()) == 100
