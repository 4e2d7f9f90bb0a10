"""The work of a build needs no catalog: a job that was loaded is enough, on any machine."""

import pickle
import subprocess
import sys
from pathlib import Path

from ptolemy_core.car import BuildOptions
from ptolemy_core.catalog import cars, containers
from ptolemy_core.stages import build_job

from .conftest import PROFILE, Scene

TREE = {b"a": b"1" * 1500, b"d": {b"b": b"2" * 700, b"void": {}}, b"big": bytes(range(256)) * 16}

WITHOUT_CATALOG = """
import pickle, sys

import psycopg2
import sqlite3

def refused(*arguments, **options):
    raise SystemExit("a database was opened")

sqlite3.connect = sqlite3.dbapi2.connect = psycopg2.connect = refused
from ptolemy_core.car import BuildOptions
from ptolemy_core.stages import build_job

job = pickle.load(open(sys.argv[1], "rb"))
print(build_job.work(job, BuildOptions(unit=1016)).file_name)
"""


def test_work_is_done_by_a_process_that_has_no_database(stage: Scene, tmp_path: Path) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    names = []
    for row in containers.rows(stage.catalog, stage.name):
        job = build_job.load(stage.catalog, stage.project, row, PROFILE, None)
        (tmp_path / "job").write_bytes(pickle.dumps(job))
        command = [sys.executable, "-c", WITHOUT_CATALOG, str(tmp_path / "job")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        names.append(done.stdout.strip())
    assert stage.in_staging() == sorted(names)
    assert stage.cars() == []
    assert [row.file_name for row in stage.blitz()] == names


def test_a_receipt_is_written_only_by_record(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()
    stage.plan()
    row = containers.rows(stage.catalog, stage.name)[0]
    job = build_job.load(stage.catalog, stage.project, row, PROFILE, None)
    built = build_job.work(job, BuildOptions(unit=1016))
    assert stage.cars() == []
    build_job.record(stage.catalog, job, built, 1.5)
    (receipt,) = cars.rows(stage.catalog, stage.name)
    assert (receipt.file_name, receipt.build_seconds) == (built.file_name, 1.5)
