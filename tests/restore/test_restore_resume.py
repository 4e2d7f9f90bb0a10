"""A restore goes on where it stopped: after kills, with CARs that come later, over what is there already."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ptolemy_core.dag.profile import Profile
from ptolemy_core.restore import RestoreError
from ptolemy_core.restore import write as writing
from tests.reader.encoder import Dag, car, directory, file, leaf, symlink, write
from tests.stages.conftest import Scene

from .test_restore_same import BIG, TREE, car_files, restore
from .trees import extract, read_tree

PROFILE = Profile(chunk=4096, width=8, hamt_threshold=1000)
BYTES = bytes(range(251)) * 400  # twenty-five leaves
_KILLED = """
import os, sys
from ptolemy_core.restore import Extraction, compare
compare.BATCH_BYTES = 8192
from ptolemy_core.restore import batches, write
batches.BATCH_BYTES = write.BATCH_BYTES = 8192
left = int(sys.argv[1])
def progress(done):
    global left
    left -= done
    if left <= 0:
        os.kill(os.getpid(), 9)
with Extraction([sys.argv[2]]) as extraction:
    extraction.write(os.fsencode(sys.argv[3]), progress=progress)
"""


def tree() -> Dag:
    files = {b"%02d" % n: file(b"%d" % n * 100, PROFILE) for n in range(9)}
    return directory(files | {b"05 big": file(BYTES, PROFILE), b"link": symlink(b"x")}, PROFILE)


def kill_after(size: int, path: Path, to: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(size), path, to]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60)
    assert ended.returncode == -9


def test_killed_anywhere_it_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(tree()))
    extract([path], tmp_path / "whole")
    whole = read_tree(tmp_path / "whole")
    total = len(BYTES) + 900
    for size in (1, 350, 700, 20_000, 60_000, total - 300, total):
        to = tmp_path / str(size)
        kill_after(size, path, to)
        before = {entry.name: entry.stat() for entry in os.scandir(to) if entry.is_file()}
        parts = os.listdir(to / ".ptolemy-restore")
        report = extract([path], to)
        assert report.ok
        assert read_tree(to) == whole
        for name, status in before.items():  # a finished file isn't written again
            after = os.stat(to / name)
            assert (after.st_ino, after.st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
        assert report.kept >= len(before)
        if size == 60_000:
            assert any(name.startswith("part-") for name in parts)
            assert report.written_bytes < len(BYTES)  # what was right in the partial file stays


def test_partial_file_with_wrong_bytes_is_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(tree()))
    to = tmp_path / "to"
    kill_after(60_000, path, to)
    (part,) = (to / ".ptolemy-restore").glob("part-*")
    with part.open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(b"damage")
        damaged.seek(0, 2)
        damaged.write(b"too long")
    assert extract([path], to).ok
    assert (to / "05 big").read_bytes() == BYTES
    assert not (to / ".ptolemy-restore").exists()


@pytest.mark.parametrize("there", [b"", b"other", BYTES[:-1] + b"x", BYTES + b"x", BYTES[:5000]])
@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_differs(tmp_path: Path, there: bytes, replace: bool) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "05 big").write_bytes(there)
    report = extract([write(tmp_path / "a.car", car(tree()))], to, replace=replace)
    assert (to / "05 big").read_bytes() == (BYTES if replace else there)
    assert [path for path, _ in report.problems] == ([] if replace else ["05 big"])
    assert report.files == (10 if replace else 9)


def test_folders_and_files_in_each_others_place(tmp_path: Path) -> None:
    to = tmp_path / "to"
    (to / "05 big" / "inner").mkdir(parents=True)
    (to / "link" / "inner").mkdir(parents=True)
    (to / "03").symlink_to("nowhere")
    report = extract([write(tmp_path / "a.car", car(tree()))], to, replace=True)
    assert {path for path, _ in report.problems} == {"05 big", "link"}
    assert (to / "03").read_bytes() == b"3" * 100


def test_many_open_files_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of several leaves each, more than may be open."""
    monkeypatch.setattr(writing, "_MAX_FILES", 5)
    small = Profile(chunk=8, width=4)
    dag = directory({b"%03d" % n: file(b"%03d" % n * 10, small) for n in range(200)}, PROFILE)
    assert extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == {b"%03d" % n: b"%03d" % n * 10 for n in range(200)}


def test_progress_adds_up_to_what_was_started(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(tree()))
    for _ in range(2):
        seen: list[int] = []
        started: list[int] = []
        extract([path], tmp_path / "to", started=started.append, progress=seen.append)
        assert started == [sum(seen)] == [len(BYTES) + 900]


# Shards of files over CARs


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    return stage


def holding(stage: Scene, shard: int) -> Path:
    """The CAR with this shard of `big`."""
    for path in car_files(stage):
        if b"big.ptolemy%d" % shard + b"\x18" in path.read_bytes():
            return path
    raise AssertionError(shard)


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_missing_shards_are_named_and_come_later(built: Scene, tmp_path: Path, missing: int) -> None:
    lost = holding(built, missing)
    lost.rename(tmp_path / "lost.car")
    some = [path for path in car_files(built) if path.exists()]
    report = extract(some, tmp_path / "to", b"big")
    ((path, reason),) = report.problems
    assert path == "big"
    # nothing says that shards 3 and 4 ever were, only that they may be
    assert ("shard 2 is as large as the others" if missing == 3 else f"{missing}") in reason
    kept = tmp_path / "to/.ptolemy-restore/incomplete"
    shards = sorted(kept.iterdir())
    assert 0 < len(shards) < 5
    for one in shards:
        number = int(one.name.removeprefix("big.ptolemy"))
        assert one.read_bytes() == BIG[1024 * number : 1024 * number + 1024]
    assert not (tmp_path / "to/big").exists()
    assert extract([*some, tmp_path / "lost.car"], tmp_path / "to", b"big").ok
    assert read_tree(tmp_path / "to") == {b"big": BIG}


def test_last_shard_alone_and_first_alone(tmp_path: Path) -> None:
    for number, words in ((4, "shards 0, 1, 2, 3 of 5 or more missing"), (0, "only shard 0")):
        name = b"f.ptolemy%d" % number
        path = write(tmp_path / "a.car", car(directory({name: leaf(b"data")})))
        ((where, reason),) = extract([path], tmp_path / str(number)).problems
        assert where == "f"
        assert words in reason
        assert read_tree(tmp_path / str(number)) == {b".ptolemy-restore": {b"incomplete": {name: b"data"}}}


def test_huge_shard_numbers_are_no_burden(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(directory({b"f.ptolemy" + b"9" * 18: leaf(b"data")})))
    ((_, reason),) = extract([path], tmp_path / "to").problems
    assert "999999999999999989 more" in reason


@pytest.mark.parametrize("sizes", [(8, 7, 8), (8, 9), (4, 8, 2)])
def test_shards_that_do_not_belong_together(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    dag = directory({b"f.ptolemy%d" % n: leaf(b"x" * size) for n, size in enumerate(sizes)})
    ((_, reason),) = extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to").problems
    assert "don't fit together" in reason


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize(
    ("last", "behind", "complete", "ok"),
    [
        (8, None, False, False),  # a third shard may follow
        (8, None, True, True),
        (7, None, False, True),  # less than the others: the last
        (8, b"f-more", False, True),  # behind it in the tree's order, so nothing of it follows
        (8, b"e", False, False),
    ],
)
def test_an_end_that_may_be_none(
    tmp_path: Path, last: int, behind: bytes | None, complete: bool, ok: bool, below: bool
) -> None:
    files = {b"f.ptolemy0": leaf(b"x" * 8), b"f.ptolemy1": leaf(b"y" * last)}
    files |= {} if behind is None else {behind: leaf(b"z")}
    dag = directory({b"folder": directory(files)} if below else files)
    wanted = b"folder/f" if below else b"f"
    report = extract([write(tmp_path / "a.car", car(dag))], tmp_path / "to", wanted, complete=complete)
    assert report.ok == ok
    whole = tmp_path / "to" / wanted.decode()
    if ok:
        assert whole.read_bytes() == b"x" * 8 + b"y" * last
    else:
        assert "shard 1 is as large as the others" in report.problems[0][1]
        assert not whole.exists()


# With the catalog


def test_needs_are_known_before_anything_is_written(built: Scene, tmp_path: Path) -> None:
    from ptolemy_core.restore import ProjectRestore

    lost = holding(built, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lost.rename(elsewhere / lost.name)
    needs = ProjectRestore(built.catalog, built.name, wanted=[b"big"]).needs
    assert needs.size == len(BIG)
    assert [one.car.file_name for one in needs.missing] == [lost.name]
    assert needs.missing[0].reason == "not found"
    folders = [str(elsewhere), str(built.staging)]
    assert ProjectRestore(built.catalog, built.name, folders=folders).needs.missing == []
    assert ProjectRestore(built.catalog, built.name, wanted=[b"d"]).needs.size == 0
    report = restore(built, tmp_path / "part")
    assert ("big", "shard 0, 1, 2: its CAR is missing") in report.problems
    assert restore(built, tmp_path / "to", folders=folders).ok
    assert read_tree(tmp_path / "to") == TREE


def test_cut_car_counts_as_missing(built: Scene) -> None:
    from ptolemy_core.restore import ProjectRestore

    lost = car_files(built)[0]
    os.truncate(lost, 100)
    (missing,) = ProjectRestore(built.catalog, built.name).needs.missing
    assert "has 100 bytes of" in missing.reason


def test_car_of_another_project_is_refused(built: Scene, tmp_path: Path) -> None:
    one, two = car_files(built)[:2]
    one.write_bytes(two.read_bytes() + bytes(10_000))
    with pytest.raises(RestoreError, match="is another CAR"):
        restore(built, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_damaged_block_is_named_and_the_rest_comes(built: Scene, tmp_path: Path) -> None:
    path = holding(built, 2)
    data = bytearray(path.read_bytes())
    data[data.index(BIG[2048:2148]) + 50] ^= 1
    path.write_bytes(data)
    report = restore(built, tmp_path / "to")
    ((where, reason),) = report.problems
    assert where == "big"
    assert "another hash" in reason
    assert path.name in reason
    assert not (tmp_path / "to/big").exists()
    assert restore(built, tmp_path / "to", b"d").ok


def test_whole_cid_of_a_split_file_is_checked(built: Scene, tmp_path: Path) -> None:
    from ptolemy_core.catalog.schema import file as files

    with built.catalog.write() as connection:
        connection.execute(files.update().where(files.c.path == b"big").values(cid=bytes(36)))
    ((where, reason),) = restore(built, tmp_path / "to", b"big").problems
    assert where == "big"
    assert "its CID as a whole is bafy" in reason


def test_unknown_path_and_scan_are_refused(built: Scene, tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="no entry 'nope'"):
        restore(built, tmp_path / "to", b"nope")
    with pytest.raises(RestoreError, match="no scan 99: its scans are"):
        restore(built, tmp_path / "to", scan_id=99)


def test_what_is_not_built_is_named(built: Scene, tmp_path: Path) -> None:
    from ptolemy_core.restore import ProjectRestore

    (built.target / "later").write_bytes(b"not in a CAR yet")
    built.scan()
    assert ProjectRestore(built.catalog, built.name).needs.unbuilt == ["later"]
    report = restore(built, tmp_path / "to")
    assert [path for path, _ in report.problems] == ["later"]
    assert read_tree(tmp_path / "to") == TREE
