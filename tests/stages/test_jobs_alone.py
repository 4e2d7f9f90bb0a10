"""The work of verify, root, manifest and restore needs no catalog: a job and its entries are enough."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import roots
from ptolemy_core.catalog.views import Entries, View
from ptolemy_core.restore import project as restore
from ptolemy_core.stages import manifest, root_job, verify_job
from ptolemy_core.stages.manifest import ManifestOptions
from tests.restore.trees import read_tree

from .conftest import PROFILE, Scene

TREE = {b"a": b"1" * 1500, b"d": {b"b": b"2" * 700, b"void": {}}, b"big": bytes(range(256)) * 16}

WITHOUT_CATALOG = """
import importlib, pickle, sys

import psycopg2
import sqlite3

def refused(*arguments, **options):
    raise SystemExit("a database was opened")

sqlite3.connect = sqlite3.dbapi2.connect = psycopg2.connect = refused

module, arguments = pickle.load(open(sys.argv[1], "rb"))
result = importlib.import_module(module).work(*arguments, progress=lambda done: None)
pickle.dump(result, open(sys.argv[1], "wb"))
"""


def work_elsewhere(module: Any, folder: Path, *arguments: object) -> Any:
    """What `work` of a module returns in a process that can't open a database."""
    file = folder / "job"
    file.write_bytes(pickle.dumps((module.__name__, arguments)))
    subprocess.run([sys.executable, "-c", WITHOUT_CATALOG, str(file)], check=True)
    return pickle.loads(file.read_bytes())


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    return stage


@pytest.mark.parametrize("source", [False, True])
def test_a_car_is_verified_without_a_catalog_and_recorded_after(
    built: Scene, tmp_path: Path, source: bool
) -> None:
    for row in built.cars():
        job = verify_job.load(built.catalog, built.project, row, PROFILE, known=False, source=source)
        checked = work_elsewhere(verify_job, tmp_path, job)
        assert checked.verdict.ok
        assert checked.verdict.compared == (row.items if source else 0)
        assert next(one for one in built.cars() if one.number == row.number).verified_at is None
        assert verify_job.record(built.catalog, job, checked).ok
    assert all(row.verified_at is not None for row in built.cars())


def test_a_damaged_car_is_found_without_a_catalog(built: Scene, tmp_path: Path) -> None:
    (row, *_) = built.cars()
    path = built.staging / row.file_name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    job = verify_job.load(built.catalog, built.project, row, PROFILE, known=False, source=False)
    checked = work_elsewhere(verify_job, tmp_path, job)
    assert not checked.verdict.ok
    assert not verify_job.record(built.catalog, job, checked).ok


def test_a_root_is_built_without_a_catalog_and_written_only_by_record(built: Scene, tmp_path: Path) -> None:
    job = root_job.load(built.catalog, built.project, PROFILE)
    entries = list(root_job.pages(built.catalog, job))
    row, written = work_elsewhere(root_job, tmp_path, job, entries)
    assert written
    assert (row.entries, row.data_bytes, row.left_out) == (4, 6296, 0)
    assert row.file_name in built.in_staging()
    assert list(roots.rows(built.catalog, built.name)) == []
    root_job.record(built.catalog, job, row)
    assert list(roots.rows(built.catalog, built.name)) == [row]


def test_a_manifest_is_written_without_a_catalog(built: Scene, tmp_path: Path) -> None:
    options = ManifestOptions("csv", str(tmp_path / "elsewhere"))
    job = manifest.load(built.catalog, built.name, options)
    pages = list(manifest.all_pages(built.catalog, job, PROFILE))
    written = work_elsewhere(manifest, tmp_path, job, pages)
    there = manifest.write_manifest(
        built.catalog, built.name, ManifestOptions("csv", str(tmp_path / "here")), profile=PROFILE
    )
    assert written.rows == there.rows > 4
    assert Path(written.manifest).read_bytes() == Path(there.manifest).read_bytes()


def test_a_project_is_restored_without_a_catalog(built: Scene, tmp_path: Path) -> None:
    view = View(built.name)
    job = restore.load(built.catalog, view, profile=PROFILE)
    entries = list(Entries(built.catalog, view))
    report = work_elsewhere(restore, tmp_path, job, entries, os.fsencode(tmp_path / "to"))
    assert report.problems == []
    assert read_tree(tmp_path / "to") == TREE
    assert job.needs.size == 6296
