"""The work of scan and containerize by itself: no catalog, no database."""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.catalog.container_plan import Unplanned
from ptolemy_core.catalog.scans import Change, KnownPage
from ptolemy_core.errors import LossError, StagingError
from ptolemy_core.project import Project, parse_project
from ptolemy_core.source.listed import Entry, listed
from ptolemy_core.stages import containerize, scan, spill
from ptolemy_core.stages.merge import Expected
from ptolemy_core.stages.spill import Spill

from .conftest import PROFILE


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "t").mkdir()
    settings = {"name": "p", "target_dir": str(tmp_path / "t"), "staging_dir": str(tmp_path / "s")}
    return parse_project(settings | {"car_size": 4})


def job(project: Project, accept_loss: bool = False) -> scan.ScanJob:
    return scan.ScanJob(project, 7, None, Expected(), {}, frozenset(), frozenset(), accept_loss)


def test_a_scan_compares_a_folder_with_rows(project: Project, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "t" / name).write_bytes(b"1")
        os.utime(tmp_path / "t" / name, ns=(0, 5))
    known = [Entry(b"a", 0, 1, 5), Entry(b"b", 0, 2, 5), Entry(b"gone", 0, 1, 5)]
    page = KnownPage(listed(known), [1, 2, 3], [False] * 3, 3)
    told = []
    spills: list[Spill[Change]] = [Spill(""), Spill("")]
    found = scan.work(job(project), iter([page]), None, spills, lambda *step: told.append(step))
    [change] = found.changes
    assert change == Change([2, 3], listed([Entry(b"b", 0, 1, 5), Entry(b"c", 0, 1, 5)]).columns)
    assert (found.losses.known, found.losses.lost, told) == (3, 1, [(3, 3)])
    known = [Entry(b"x%d" % k, 0, 1, 5) for k in range(9)]
    page = KnownPage(listed(known), list(range(9)), [False] * 9, 9)
    with pytest.raises(LossError, match="9 of 9 entries"):
        scan.work(job(project), iter([page]), None, [Spill(""), Spill("")], lambda *_: None)
    assert scan.work(job(project, True), iter([page]), None, spills, lambda *_: None).counts.gone == 9


def test_a_plan_is_made_of_rows(project: Project) -> None:
    sizes = np.array([1024, 0, 2048], dtype=np.int64)
    files = Unplanned(np.array([5, 6, 7]), [b"a", b"b", b"c"], np.zeros(3, dtype=np.int8), sizes)
    for batches in ([files], [files.take([0]), files.take([1, 2])]):
        with ExitStack() as stack:
            job = containerize.PlanJob(project, PROFILE, frozenset(), batches)
            whole = containerize.work(job, None, stack)
            assert np.concatenate([part.file_ids for part in whole.items()]).tolist() == [5, 6, 7, 7]
            assert sum(one.data_bytes for one in whole.containers) == 3072
            kept = {7: frozenset({0})}
            job = containerize.PlanJob(project, PROFILE, frozenset({1}), batches, kept)
            rest = list(containerize.work(job, None, stack).items())
            shards = [
                (key, n) for part in rest for key, n in zip(part.file_ids, part.items.shards, strict=True)
            ]
            assert shards[-1] == (7, 1)
            assert len(shards) == 3


def test_many_values_are_kept_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY", 3)
    values = [([k], [(b"\xff" * k, 0, 2**62, -1, None, "é")]) for k in range(50)]
    with Spill(str(tmp_path)) as kept:
        for value in values:
            kept.append(value, 1)
        assert list(kept) == values
        assert list(kept) == values
        assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY", 0)

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill.tempfile, "TemporaryFile", full)
    with pytest.raises(
        StagingError, match=f"{tmp_path} can't take the temporary file .*No space left on device"
    ):
        Spill(str(tmp_path)).append((1,), 1)
