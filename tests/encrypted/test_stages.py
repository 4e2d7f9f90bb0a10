"""An encrypted project goes through all stages and comes back: sizes, names, links, split files."""

import csv
import hashlib
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog.find import find_cid, find_path
from ptolemy_core.catalog.progress import Reporter
from ptolemy_core.encryption import Segments
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.stages import delete_source
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.delete_source import Options
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_core.stages.release import release
from tests.dag import oracle
from tests.encrypted.conftest import ALIAS
from tests.restore.trees import read_tree
from tests.stages.conftest import PROFILE, Scene

CANARY = b"canary in a coal mine"


def data(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


SIZES = (1, 455, 456, 457, 511, 512, 951, 952, 953, 968, 1024, 3000)
"""Around the ends of the first two segments, of 456 and 496 bytes."""

TREE: oracle.Content = {
    b"empty": b"",
    b"empty folder": {},
    b"link": oracle.Link(b"some/where " + CANARY),
    b"b.bin.ptolemy0": b"looks like a shard",
    b"\xff not utf-8 \n": data(40),
    b"deep": {b"deeper": {b"deepest": data(2000)}, b"\xc3\xa9t\xc3\xa9": CANARY * 30},
    b"many": {b"file %d" % k: data(k) for k in range(12)},
} | {b"size %d" % size: data(size) for size in SIZES}


def restored(stage: Scene, to: Path, **options: Any) -> oracle.Content:
    report = ProjectRestore(stage.catalog, stage.name, profile=PROFILE, **options).write(str(to).encode())
    assert report.ok, report.problems
    return read_tree(to)


@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("names", [True, False])
def test_what_goes_through_all_stages_comes_back(make: Any, tmp_path: Path, names: bool) -> None:
    stage = make(encrypt_names=names)
    rows = stage.run(TREE)
    assert len(rows) > 3
    assert stage.problems() == []
    assert [p for v in stage.verify(source=True) for p in v.problems] == []
    build_root(stage.catalog, stage.name, profile=PROFILE)
    assert restored(stage, tmp_path / "out") == TREE


def test_planned_sizes_are_exact_and_split_files_are_cut_between_segments(secret: Scene) -> None:
    secret.put({b"f": data(3000)})
    secret.scan()
    planned = secret.plan().containers
    rows = secret.blitz()
    assert [row.car_size for row in rows] == [row.car_size for row in planned]
    assert sum(row.data_bytes for row in rows) == Segments(3000, PROFILE.chunk).size
    assert secret.problems() == []


@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_a_build_that_was_killed_is_built_again_bit_by_bit(make: Any, storage: str) -> None:
    stage = make(car_storage=storage)
    stage.put({b"f": data(900), b"g": data(5000), b"h": CANARY})
    stage.scan()
    stage.plan()
    child = os.fork()
    if not child:
        stage.catalog.engine.dispose(close=False)

        def die(done: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        stage.build(0, progress=die)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    names = [row.file_name for row in stage.blitz()]
    again = make(name="again", car_storage=storage)
    assert stage.problems() == []
    assert again.run({b"f": data(900)})[0].file_name not in names, "salts are another project's"
    if storage == "generated":
        return
    whole = {name: (stage.staging / name).read_bytes() for name in names}
    for number, name in enumerate(names):
        (stage.staging / name).unlink()
        stage.build(number, rebuild=True)
    assert {name: (stage.staging / name).read_bytes() for name in names} == whole


def test_sources_of_delivered_encrypted_cars_can_be_deleted(secret: Scene, tmp_path: Path) -> None:
    rows = secret.run(TREE)
    assert secret.problems() == []
    release(secret.catalog, rows)
    result = delete_source.delete_source(
        secret.catalog,
        secret.name,
        options=Options(really=True),
        journal_dir=str(tmp_path / "journal"),
        profile=PROFILE,
    )
    assert result.kept == {}
    assert [path for path in secret.target.rglob("*") if not path.is_dir()] == []
    assert restored(secret, tmp_path / "out") == TREE


def test_files_of_an_encrypted_project_are_found_by_real_name_and_by_cid(secret: Scene) -> None:
    secret.run(TREE)
    found = list(find_path(secret.catalog, "many/file 3", project=secret.name, profile=PROFILE))
    assert [one.path for one in found] == ["many/file 3"]
    assert found[0].size == 3
    car = (secret.staging / found[0].file_name).read_bytes()
    section = car[found[0].car_offset : found[0].car_offset + found[0].car_length]
    assert len(section) == 1 + 36 + Segments(3, PROFILE.chunk).size
    again = list(find_cid(secret.catalog, found[0].cid or "", project=secret.name, profile=PROFILE))
    assert [one.path for one in again] == ["many/file 3"]


def test_a_file_that_cant_be_built_is_skipped_and_the_others_come_back(make: Any, tmp_path: Path) -> None:
    stage = make(on_error="skip")
    stage.put({b"gone": data(700), b"big": data(3000), b"small": b"x"})
    stage.scan()
    stage.plan()
    (stage.target / "gone").unlink()
    stage.blitz()
    assert stage.problems() == []
    stage.scan()
    assert restored(stage, tmp_path / "out") == {b"big": data(3000), b"small": b"x"}


def test_later_scans_add_containers_and_earlier_cars_stay(secret: Scene, tmp_path: Path) -> None:
    first = secret.run({b"a": data(700), b"b": data(100)})
    (secret.target / "a").write_bytes(data(900, seed=5))
    secret.put({b"c": CANARY})
    assert secret.scan().changed == 1
    secret.plan()
    rows = secret.blitz()
    assert rows[: len(first)] == first
    assert secret.problems() == []
    assert restored(secret, tmp_path / "new") == {b"a": data(900, seed=5), b"b": data(100), b"c": CANARY}
    assert restored(secret, tmp_path / "old", scan_id=1) == {b"a": data(700), b"b": data(100)}


def test_a_restore_that_was_cut_off_resumes_with_what_is_right(secret: Scene, tmp_path: Path) -> None:
    secret.run({b"f": data(3000)})
    restored(secret, tmp_path / "out")
    with open(tmp_path / "out" / "f", "r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    report = ProjectRestore(secret.catalog, secret.name, profile=PROFILE).write(
        str(tmp_path / "out").encode(), replace=True
    )
    assert (report.ok, report.files, report.kept) == (True, 1, 0)
    assert restored(secret, tmp_path / "out") == {b"f": data(3000)}


@pytest.mark.parametrize("encryption", ["None", ALIAS])
def test_the_sha256_of_files_in_the_source_is_kept_where_a_project_says_so(
    make: Any, encryption: str
) -> None:
    stage = make(encryption=encryption, file_sha256=True)
    content = {b"empty": b"", b"one": data(40), b"split": data(5000)}
    stage.run(content)
    for name, raw in content.items():
        found = list(find_path(stage.catalog, name.decode(), project=stage.name, profile=PROFILE))
        assert {one.sha256 for one in found} == {hashlib.sha256(raw).hexdigest()}
    written = write_manifest(stage.catalog, stage.name, ManifestOptions("csv", plain=True), profile=PROFILE)
    with open(written.manifest, newline="") as file:
        rows = [(row["path"].encode(), row["sha256"]) for row in csv.DictReader(file)]
    assert set(rows) == {(name, hashlib.sha256(raw).hexdigest()) for name, raw in content.items()}
    assert len(rows) > len(content), "each shard has that of the whole file"


def test_hashing_files_before_their_car_is_built_shows_its_progress(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = Reporter.advance

    def advance(self: Reporter, done: int) -> None:
        real(self, done)
        seen.append((self._key["task"], self._total, self._done))

    monkeypatch.setattr(Reporter, "advance", advance)
    stage = make(file_sha256=True)
    stage.run({b"one": data(40), b"two": data(900)})
    assert [one for one in seen if one[0].startswith("file")][-1] == ("file-sha256 000000", 940, 940)
