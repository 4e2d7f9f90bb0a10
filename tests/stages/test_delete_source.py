"""Sources are deleted only when every byte of them is delivered and verified, and they still are what was scanned."""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import deletions, projects
from ptolemy_core.dag import cid
from ptolemy_core.errors import BusyError, DeletionError, SourceError, StageOrderError
from ptolemy_core.project import parse_project
from ptolemy_core.source import safe_delete
from ptolemy_core.stages import delete_source
from ptolemy_core.stages.delete_source import DeletionResult, Options
from ptolemy_core.stages.release import release, undo
from tests.dag import oracle

from .conftest import PROFILE, Scene

UNIT = PROFILE.size_unit
TREE: oracle.Content = {
    b"a": b"first",
    b"big": bytes(range(256)) * 24,  # six shards, in more than one CAR
    b"d": {b"e": {b"f": b"deep"}, b"odd\n'\xff": b"?", b"link": oracle.Link(b"../a")},
    b"none": b"",
    b"void": {},
}
ALL = ["a", "big", "d\0e\0f", "d\0link", "d\0odd\n'\udcff", "none"]

both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def delivered(stage: Scene) -> Scene:
    """All of TREE built, verified and delivered; its CARs have left."""
    assert len(stage.run(TREE)) > 1
    assert stage.problems() == []
    release(stage.catalog, stage.cars(), note="s3://somewhere", remove=True)
    return stage


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def delete(delivered: Scene, journal: Path) -> Callable[..., DeletionResult]:
    def delete(*chosen: bytes, really: bool = True, **more: Any) -> DeletionResult:
        options = Options(really=really, **more)
        return delete_source.delete_source(
            delivered.catalog, "p", chosen, options, journal_dir=str(journal), profile=PROFILE
        )

    return delete


def on_disk(stage: Scene) -> list[str]:
    """All that stands in the target, folders too, NUL-joined."""
    found = []
    for path, folders, files in os.walk(os.fsencode(stage.target)):
        for name in folders + files:
            found.append(os.path.relpath(os.path.join(path, name), os.fsencode(stage.target)))
    return sorted(os.fsdecode(name.replace(b"/", b"\0")) for name in found)


def journaled(stage: Scene) -> list[str]:
    return [os.fsdecode(row.path) for row in deletions.rows(stage.catalog, "p") if row.deleted_at]


@both
def test_dry_run_tells_all_and_deletes_nothing(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path
) -> None:
    before = on_disk(delivered)
    result = delete(really=False)
    assert (result.deleted, result.files, result.bytes, result.kept) == (False, 6, 5 + 6144 + 4 + 1, {})
    assert ("big", 6144) in result.sample
    assert ("d/odd\\n'\\xff", 1) in result.sample
    assert on_disk(delivered) == before
    assert journaled(delivered) == []
    assert not journal.exists()


@both
def test_deletes_all_and_journals_it(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path
) -> None:
    cids = {row.path: row.cid for row in delivered.files()}
    result = delete()
    assert (result.deleted, result.files, result.folders, result.kept) == (True, 6, 0, {})
    assert on_disk(delivered) == ["d", "d\0e", "void"]
    rows = list(deletions.rows(delivered.catalog, "p"))
    assert [os.fsdecode(row.path) for row in rows] == ALL
    assert all(row.deleted_at and row.deleted_at >= row.intended_at for row in rows)
    big = next(row for row in rows if row.path == b"big")
    assert (big.size, big.cid) == (6144, cids[b"big"])
    assert all(row.cid for row in rows)
    lines = [json.loads(line) for line in (journal / "p.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["deleting"] * 6 + ["deleted"] * 6
    said = {bytes.fromhex(line["path_hex"]): line for line in lines[:6]}
    odd = said[b"d/odd\n'\xff"]
    assert (odd["kind"], odd["size"], odd["path"]) == ("file", 1, "d/odd\\n'\\xff")
    assert odd["cid"] == cid.to_text(next(row.cid for row in rows if b"odd" in row.path) or b"")
    again = delete()
    assert (again.files, again.kept) == (0, {})


@both
def test_later_scan_calls_it_deleted_and_plans_nothing(
    delivered: Scene, delete: Callable[..., DeletionResult]
) -> None:
    cars = delivered.cars()
    delete()
    result = delivered.scan()
    assert (result.gone, result.deleted, result.added, result.changed) == (6, 6, 0, 0)
    assert delivered.plan().new == 0  # left-over folders are no new empty folders
    assert delivered.cars() == cars
    assert delivered.problems() == []
    (delivered.target / "new").write_bytes(b"new")
    again = delivered.scan()
    assert (again.gone, again.deleted, again.added) == (0, 0, 1)
    assert delivered.plan().new == 1
    (delivered.target / "new").unlink()
    assert delivered.scan().deleted == 0  # gone, and not by us


def test_folders_left_empty_go_only_on_demand(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path
) -> None:
    delete(b"d")
    assert on_disk(delivered) == ["a", "big", "d", "d\0e", "none", "void"]
    (delivered.target / "d" / "mine").write_bytes(b"unknown to the catalog")
    result = delete(folders=True)
    assert on_disk(delivered) == ["d", "d\0mine"]
    assert (result.files, result.folders) == (4, 1)  # `void` is an entry of the scan, d/e was left over
    assert "folder removed" in (journal / "p.jsonl").read_text()
    (delivered.target / "d" / "mine").unlink()
    assert delete(folders=True).folders == 1
    assert on_disk(delivered) == []
    assert delivered.target.is_dir()


def test_chosen_paths_bound_it(delivered: Scene, delete: Callable[..., DeletionResult]) -> None:
    result = delete(b"d\0e", b"d\0e\0f", b"none")
    assert result.files == 2
    assert journaled(delivered) == ["d\0e\0f", "none"]
    with pytest.raises(DeletionError, match="the last scan of 'p' found nothing at 'd/x': give paths below"):
        delete(b"a", b"d\0x")
    assert (delivered.target / "a").exists()


def unmark(stage: Scene) -> None:
    undo(stage.catalog, stage.cars()[-1:])


def unverify(stage: Scene) -> None:
    stage.build(stage.cars()[-1].number, rebuild=True)


@pytest.mark.parametrize(("break_it", "word"), [(unmark, "delivered"), (unverify, "verified")])
def test_one_shard_that_is_not_safe_holds_the_whole_file(
    delivered: Scene, delete: Callable[..., DeletionResult], break_it: Callable[[Scene], None], word: str
) -> None:
    last = {
        b"big",
        b"d\0e\0f",
        b"d\0link",
        b"d\0odd\n'\xff",
        b"none",
    }  # what the last CAR holds, in part or whole
    break_it(delivered)
    result = delete()
    assert set(result.kept) == {f"not all of it is in a CAR that is {word}"}
    assert result.kept_sample[0] == ("big", f"not all of it is in a CAR that is {word}")
    assert {os.fsencode(name) for name in ALL} - {os.fsencode(name) for name in journaled(delivered)} == last
    assert (delivered.target / "big").exists()


def test_what_is_not_built_or_planned_stays(delivered: Scene, delete: Callable[..., DeletionResult]) -> None:
    (delivered.target / "new").write_bytes(bytes(3 * UNIT))
    assert delete().files == 6  # the scan hasn't seen it
    delivered.scan()
    assert delete().kept == {"not containerized": 1}
    delivered.plan()
    assert delete().kept == {"not all of it is in a CAR that is built": 1}
    delivered.blitz()
    assert delete().kept == {"not all of it is in a CAR that is verified": 1}
    assert (delivered.target / "new").exists()


def touched(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def grown(path: Path) -> None:
    status = path.stat()
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def same_times(path: Path, other: Path) -> None:
    status = other.lstat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def linked(path: Path) -> None:
    away = path.with_name("away")
    path.rename(away)
    path.symlink_to(away)
    same_times(path, away)


def foldered(path: Path) -> None:
    path.unlink()
    path.mkdir()


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (touched, "its modification time changed"),
        (grown, "its size was 5 bytes, now 9"),
        (linked, "it is no longer a regular file"),
        (foldered, "it is no longer a regular file"),
        (piped, "it is no longer a regular file"),
        (gone, "it no longer exists"),
    ],
)
@pytest.mark.parametrize("really", [True, False])
def test_file_that_is_not_what_was_scanned_stays(
    delivered: Scene,
    delete: Callable[..., DeletionResult],
    change: Callable[[Path], None],
    reason: str,
    really: bool,
) -> None:
    change(delivered.target / "a")
    before = on_disk(delivered)
    result = delete(b"a", really=really)
    assert (result.files, dict(result.kept)) == (0, {reason: 1})
    assert on_disk(delivered) == before
    assert journaled(delivered) == []


def test_link_that_leads_elsewhere_or_is_none_stays(
    delivered: Scene, delete: Callable[..., DeletionResult]
) -> None:
    link = delivered.target / "d" / "link"
    times = link.lstat()
    link.unlink()
    link.symlink_to("../b")
    os.utime(link, ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)
    assert dict(delete(b"d\0link").kept) == {"the link changed since the scan": 1}
    link.unlink()
    link.write_bytes(b"file")
    assert dict(delete(b"d\0link").kept) == {"it is no longer a link": 1}


def test_link_in_the_way_leads_nowhere(
    delivered: Scene, delete: Callable[..., DeletionResult], tmp_path: Path
) -> None:
    """A folder that was replaced by a link to the same files elsewhere: they aren't touched."""
    outside = tmp_path / "outside"
    (delivered.target / "d").rename(outside)
    (delivered.target / "d").symlink_to(outside)
    result = delete(b"d", folders=True)
    assert (result.files, result.folders) == (0, 0)
    assert dict(result.kept) == {"a folder in its path is no longer a folder, or is a link": 3}
    assert sorted(os.listdir(outside)) == ["e", "link", "odd\n'\udcff"]
    assert (outside / "e" / "f").read_bytes() == b"deep"


def test_target_that_is_a_link_or_gone_is_refused(
    delivered: Scene, delete: Callable[..., DeletionResult], tmp_path: Path
) -> None:
    delivered.target.rename(tmp_path / "outside")
    with pytest.raises(DeletionError, match="can't be opened .No such file"):
        delete()
    delivered.target.symlink_to(tmp_path / "outside")
    with pytest.raises(
        DeletionError, match="can't be opened .*: check that it exists, is mounted, and isn't a link"
    ):
        delete()
    assert (tmp_path / "outside" / "a").exists()


def test_file_that_is_open_for_writing_stays(delivered: Scene, delete: Callable[..., DeletionResult]) -> None:
    with (delivered.target / "none").open("rb") as probe:
        try:
            fcntl.fcntl(probe, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            pytest.skip("this file system has no leases")
    with (delivered.target / "a").open("r+b"):
        assert dict(delete(b"a", b"none").kept) == {"another process has it open for writing": 1}
    assert on_disk(delivered).count("a") == 1
    with (delivered.target / "big").open("rb"):  # readers don't mind
        assert delete(b"a", b"big").files == 2


class Killed(BaseException):
    pass


def killed_after(count: int, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """The process dies at this deletion, before or after the file is gone."""
    real = safe_delete.OpenFolder.delete
    calls: list[bytes] = []

    def dying(self: safe_delete.OpenFolder, known: Any, *more: Any) -> None:
        calls.append(known.path)
        if len(calls) < count or after:
            real(self, known, *more)
        if len(calls) >= count:
            raise Killed

    monkeypatch.setattr(safe_delete.OpenFolder, "delete", dying)


@both
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("next_step", ["delete", "scan"])
def test_crash_in_the_middle_is_made_good(
    delivered: Scene,
    delete: Callable[..., DeletionResult],
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
    next_step: str,
) -> None:
    with monkeypatch.context() as patched:
        killed_after(3, patched, after)
        with pytest.raises(Killed):
            delete()
    left = [name for name in ALL if os.path.lexists(os.path.join(delivered.target, name.replace("\0", "/")))]
    assert len(left) == (3 if after else 4)
    assert journaled(delivered) == []
    assert len(list(deletions.rows(delivered.catalog, "p", unfinished=True))) == 6
    if next_step == "scan":
        result = delivered.scan()
        assert result.gone == result.deleted == 6 - len(left)
        assert sorted(journaled(delivered)) == sorted(set(ALL) - set(left))
    assert delete().files == len(left)
    assert sorted(journaled(delivered)) == sorted(ALL)
    assert list(deletions.rows(delivered.catalog, "p", unfinished=True)) == []
    assert delivered.scan().added == 0


def test_journal_is_on_the_disk_before_anything_is_deleted(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[str, int] = {}
    real_sync, real_unlink = os.fsync, os.unlink
    first: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        name = os.path.realpath(f"/proc/self/fd/{descriptor}")
        synced[name] = os.fstat(descriptor).st_size
        real_sync(descriptor)

    def unlink(path: Any, *arguments: Any, dir_fd: int | None = None) -> None:
        if dir_fd is not None and not first:
            wal = next((size for name, size in synced.items() if name.endswith("catalog.db-wal")), 0)
            first.append((synced.get(str(journal / "p.jsonl"), 0), wal))
        real_unlink(path, *arguments, dir_fd=dir_fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "unlink", unlink)
    delete()
    ((lines, wal),) = first
    assert (journal / "p.jsonl").read_bytes()[:lines].count(b'"deleting"') == 6
    assert wal > 0
    assert str(delivered.target) in synced  # and the folders after that


def test_batches_are_journaled_one_by_one(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete_source, "_BATCH", 2)
    monkeypatch.setattr(deletions, "_PAGE", 3)
    assert delete(folders=True).files == 7
    assert on_disk(delivered) == []
    events = [json.loads(line)["event"] for line in (journal / "p.jsonl").read_text().splitlines()]
    assert events[:6] == ["deleting", "deleting", "deleted", "deleted", "deleting", "deleting"]


def test_file_that_changes_between_journal_and_deletion_stays(
    delivered: Scene, delete: Callable[..., DeletionResult], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletions.intend

    def intend(*arguments: Any) -> None:
        real(*arguments)
        touched(delivered.target / "a")

    monkeypatch.setattr(deletions, "intend", intend)
    result = delete()
    assert (result.files, dict(result.kept)) == (5, {"its modification time changed": 1})
    assert (delivered.target / "a").exists()
    assert "a" not in journaled(delivered)
    assert '"kept"' in (journal / "p.jsonl").read_text()


def test_restored_source_is_a_source_again(delivered: Scene, delete: Callable[..., DeletionResult]) -> None:
    path = delivered.target / "a"
    status = path.stat()
    delete(b"a")
    path.write_bytes(b"first")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = delivered.scan()
    assert (result.gone, result.deleted, result.added) == (0, 0, 0)
    assert journaled(delivered) == []
    assert delete(b"a").files == 1


def test_car_of_deleted_sources_is_not_rebuilt_but_explained(
    delivered: Scene, delete: Callable[..., DeletionResult]
) -> None:
    delete(b"a")
    first = delivered.cars()[0]
    with pytest.raises(
        SourceError, match=f"1 of its sources were deleted .* fetch {first.file_name} from s3://"
    ):
        delivered.build(0, rebuild=True)
    (back,) = undo(delivered.catalog, [first])
    assert back.warning == (
        "1 of its sources were deleted because it was delivered, and its file isn't in staging_dir either: find it"
    )


def test_other_work_on_the_project_keeps_it_out(
    delivered: Scene, delete: Callable[..., DeletionResult]
) -> None:
    with delivered.catalog.lock("scan p"), pytest.raises(BusyError, match="is being scanned"):
        delete()
    with delete_source.lock(delivered.catalog, "p"), pytest.raises(BusyError, match="are being deleted"):
        delete()
    assert journaled(delivered) == []


@pytest.mark.parametrize("place", ["same", "above", "inside"])
def test_another_project_over_the_files_must_have_them_too(
    delivered: Scene, delete: Callable[..., DeletionResult], tmp_path: Path, place: str
) -> None:
    target = {"same": delivered.target, "above": delivered.target.parent, "inside": delivered.target / "d"}[
        place
    ]
    staging = {"staging_dir": str(tmp_path / "q-staging")}
    settings = delivered.project.model_dump() | {"name": "q", "target_dir": str(target)} | staging
    projects.create(delivered.catalog, parse_project(settings))
    twin = Scene(delivered.catalog, parse_project(settings))
    with pytest.raises(DeletionError, match="project 'q' stores files of .*: not scanned; deliver"):
        delete(really=False)
    twin.scan()
    with pytest.raises(DeletionError, match="not containerized; .* --ignore-project q"):
        delete()
    assert delete(b"none", ignore=["q"]).files == 1
    twin.scan()
    twin.plan()
    twin.blitz()
    list(twin.verify())
    with pytest.raises(DeletionError, match="in a CAR that is delivered"):
        delete()
    release(twin.catalog, twin.cars())
    assert delete().files == 5


@pytest.mark.parametrize("place", ["same", "above", "inside"])
def test_another_project_counts_under_whatever_name_it_has_the_files(
    delivered: Scene, delete: Callable[..., DeletionResult], tmp_path: Path, place: str
) -> None:
    """A link stands here for a bind mount, which only root can make: both give one folder two names."""
    target = tmp_path / "q" / "target"
    target.mkdir(parents=True)
    staging = {"staging_dir": str(tmp_path / "q-staging")}
    settings = delivered.project.model_dump() | {"name": "q", "target_dir": str(target)} | staging
    projects.create(delivered.catalog, parse_project(settings))
    target.rmdir()
    if place == "inside":
        target.parent.rmdir()
        target.parent.symlink_to(delivered.target)
        (delivered.target / "target").mkdir()
    else:
        target.symlink_to(delivered.target if place == "same" else delivered.target.parent)
    with pytest.raises(DeletionError, match="project 'q' stores files of .*: not scanned; deliver"):
        delete()
    assert delete(ignore=["q"]).files == 6


def test_unscanned_project_is_refused(stage: Scene) -> None:
    with pytest.raises(StageOrderError, match="isn't scanned yet"):
        delete_source.delete_source(stage.catalog, "p", options=Options(really=True))


def test_deep_paths_are_reached(stage: Scene, journal: Path) -> None:
    """Deeper than the system's path limit."""
    folder = os.open(stage.target, os.O_RDONLY)
    try:
        for _ in range(24):
            os.mkdir(b"n" * 200, dir_fd=folder)
            deeper = os.open(b"n" * 200, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    finally:
        os.close(folder)
    stage.scan()
    stage.plan()
    stage.blitz()
    assert stage.problems() == []
    release(stage.catalog, stage.cars())
    options = Options(really=True, folders=True)
    result = delete_source.delete_source(stage.catalog, "p", (), options, journal_dir=str(journal))
    assert (result.files, result.folders) == (1, 24)
    assert os.listdir(stage.target) == []
