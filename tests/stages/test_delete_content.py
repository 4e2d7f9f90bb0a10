"""A file is deleted only if its content, read once more right before, is what its CARs hold."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import deletions
from ptolemy_core.catalog.schema import built_shard, file, source_fault
from ptolemy_core.errors import DeletionError, DeliveryError
from ptolemy_core.source import safe_delete
from ptolemy_core.source.content import ContentReader
from ptolemy_core.stages.delete_source import DeletionResult, Options, delete_source
from ptolemy_core.stages.release import release
from tests.dag import oracle

from .conftest import PROFILE, Scene

TREE: oracle.Content = {b"a": b"first", b"big": bytes(range(256)) * 24, b"d": {b"f": b"deep"}, b"none": b""}
OTHER = "its content differs from its CARs, though size and time are the same: touch it, and run the project again"
NAMED = "it differed from its CAR when verify --source compared them: touch it, and run the project again"

both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def built(stage: Scene) -> Scene:
    assert len(stage.run(TREE)) > 1
    assert stage.problems() == []
    return stage


@pytest.fixture
def delete(built: Scene, tmp_path: Path) -> Callable[..., DeletionResult]:
    def delete(*chosen: bytes, really: bool = True, **more: Any) -> DeletionResult:
        options = Options(really=really, **more)
        journal = str(tmp_path / "journal")
        return delete_source(built.catalog, "p", chosen, options, journal_dir=journal, profile=PROFILE)

    return delete


def with_times_of(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed_in_place(target: Path) -> None:
    status = (target / "big").stat()
    with (target / "big").open("r+b") as file:
        file.seek(3000)
        file.write(b"sixteen bytes...")
    with_times_of(target / "big", status)


def renamed_over(target: Path) -> None:
    status = (target / "big").stat()
    (target / "other").write_bytes(bytes(status.st_size))
    with_times_of(target / "other", status)
    (target / "other").rename(target / "big")


def folder_swapped(target: Path) -> None:
    target.rename(target.with_name("away"))
    target.mkdir()
    for name in ("a", "big", "none"):
        old = target.with_name("away") / name
        (target / name).write_bytes(old.read_bytes() if name != "big" else bytes(old.stat().st_size))
        with_times_of(target / name, old.stat())


CHANGES = pytest.mark.parametrize("change", [changed_in_place, renamed_over, folder_swapped])


@CHANGES
def test_other_content_of_the_same_size_and_time_stays(
    built: Scene, delete: Callable[..., DeletionResult], change: Callable[[Path], None]
) -> None:
    release(built.catalog, built.cars(), remove=True)
    change(built.target)
    content = (built.target / "big").read_bytes()
    result = delete(b"a", b"big")
    assert dict(result.kept) == {OTHER: 1}
    assert result.kept_sample[0][0] == "big"
    assert (built.target / "big").read_bytes() == content
    assert not (built.target / "a").exists()


def forget_states(stage: Scene) -> None:
    """CARs as older versions built them: in which state their files were read isn't known."""
    with stage.catalog.write() as connection:
        connection.execute(built_shard.update().values(read_ctime=None, read_inode=None))


@CHANGES
def test_a_file_that_changed_after_it_was_read_is_held_and_its_car_is_right(
    built: Scene, delete: Callable[..., DeletionResult], change: Callable[[Path], None]
) -> None:
    """The state in which builds read the file tells: the CAR holds no mixture."""
    change(built.target)
    assert not all(verdict.ok for verdict in built.verify(source=True))
    assert all(row.verified_at for row in built.cars())
    release(built.catalog, built.cars(), remove=True)
    for trust in (False, True):
        assert dict(delete(b"big", trust_stamps=trust).kept) == {NAMED: 1}
    assert (built.target / "big").exists()


@both
@CHANGES
def test_what_verify_named_is_held_until_it_is_right_again(
    built: Scene, delete: Callable[..., DeletionResult], change: Callable[[Path], None]
) -> None:
    forget_states(built)
    status = (built.target / "big").stat()
    content = (built.target / "big").read_bytes()
    change(built.target)
    named = [problem for verdict in built.verify(source=True) for problem in verdict.problems]
    assert any("big differs from the source in bytes" in problem for problem in named)
    holds_big = [row for row in built.cars() if row.verified_at is None]
    assert holds_big  # it may hold a mixture of the file's states, and isn't verified
    with pytest.raises(DeliveryError, match="may contain data that was never in the source: big differs"):
        release(built.catalog, built.cars(), remove=True)
    assert any("differed from the source when they were compared" in problem for problem in built.problems())
    assert [row.verified_at for row in built.cars() if row in holds_big] == [None] * len(holds_big)
    assert "big" not in {path for path, _ in delete(b"big", really=False).sample}
    (built.target / "big").write_bytes(content)
    with_times_of(built.target / "big", status)
    if change is folder_swapped:
        (built.target / "d").mkdir()
        (built.target.with_name("away") / "d" / "f").rename(built.target / "d" / "f")
    assert all(verdict.ok for verdict in built.verify(source=True))
    release(built.catalog, built.cars(), remove=True)
    assert delete(b"big").files == 1


def test_what_verify_named_is_held_after_delivery_too(
    built: Scene, delete: Callable[..., DeletionResult]
) -> None:
    """Marked first, compared later; stamps are trusted, and yet it stays."""
    release(built.catalog, built.cars())
    (built.target / "a").write_bytes(b"other")
    built.verify(source=True)
    status = next(row for row in built.files() if row.path == b"a")
    os.utime(built.target / "a", ns=(status.mtime, status.mtime))
    assert dict(delete(b"a", trust_stamps=True).kept) == {NAMED: 1}


def test_a_new_version_is_not_held(built: Scene, delete: Callable[..., DeletionResult]) -> None:
    changed_in_place(built.target)
    built.verify(source=True)
    os.utime(built.target / "big")
    built.scan()
    built.plan()
    built.blitz()
    assert all(verdict.ok for verdict in built.verify(source=True))
    assert all(
        row.verified_at for row in built.cars()
    )  # of the first CARs too: what they hold was superseded
    release(built.catalog, built.cars(), remove=True)
    assert delete(b"big").files == 1


def test_a_file_that_is_modified_later_leaves_its_car_verified(built: Scene) -> None:
    (built.target / "a").write_bytes(b"other")
    assert not all(verdict.ok for verdict in built.verify(source=True))
    assert all(row.verified_at for row in built.cars())


def test_superseded_and_gone_versions_are_no_faults(
    built: Scene, delete: Callable[..., DeletionResult]
) -> None:
    (built.target / "a").write_bytes(b"changed since")
    (built.target / "d" / "f").unlink()
    assert not all(verdict.ok for verdict in built.verify(source=True))
    built.scan()
    built.plan()
    built.blitz()
    verdicts = built.verify(source=True)
    assert [problem for verdict in verdicts for problem in verdict.problems] == []
    assert sum(verdict.outdated for verdict in verdicts) == 2
    release(built.catalog, built.cars())
    assert delete(b"big").files == 1
    verdicts = built.verify(source=True)  # deleted by us, and no scan has seen that yet
    assert [problem for verdict in verdicts for problem in verdict.problems] == []
    with built.catalog.read() as connection:
        assert connection.execute(sa.select(source_fault)).all() == []


def read_nothing(*_: Any) -> bytes:
    pytest.fail("it was read")


def stamps(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    """As though the builds had kept what they saw of each file."""
    real = deletions._places

    def places(connection: Any, files: Any) -> Any:
        found = real(connection, files)
        names = dict(connection.execute(sa.select(file.c.id, file.c.path)).all())
        out = {}
        for key, (containers, _) in found.items():
            status = taken[os.path.join(os.fsencode(target), bytes(names[key]).replace(b"\0", b"/"))]
            out[key] = (containers, (status.st_ctime_ns, safe_delete.inode_of(status)))
        return out

    taken = {
        os.path.join(folder, name): os.lstat(os.path.join(folder, name))
        for folder, _, names in os.walk(os.fsencode(target))
        for name in names
    }
    monkeypatch.setattr(deletions, "_places", places)


def test_trusted_stamps_spare_the_reading_only_where_all_are_the_same(
    built: Scene, delete: Callable[..., DeletionResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    release(built.catalog, built.cars(), remove=True)
    stamps(monkeypatch, built.target)
    changed_in_place(built.target)  # its ctime is another now
    result = delete(b"big", trust_stamps=True)
    assert dict(result.kept) == {OTHER: 1}
    with monkeypatch.context() as patched:
        patched.setattr(ContentReader, "cid", read_nothing)
        assert delete(b"a", b"d", trust_stamps=True).files == 2
    assert not (built.target / "a").exists()


def test_unknown_stamps_are_read(
    built: Scene, delete: Callable[..., DeletionResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    release(built.catalog, built.cars(), remove=True)
    monkeypatch.setattr(deletions, "_places", lambda connection, files: {})
    seen: list[int] = []
    real = ContentReader.cid
    monkeypatch.setattr(ContentReader, "cid", lambda self, d, size: seen.append(size) or real(self, d, size))
    assert delete(trust_stamps=True).files == 4
    assert sorted(seen) == [0, 4, 5, 6144]


def test_a_split_file_without_its_cid_gets_it_first(
    built: Scene, delete: Callable[..., DeletionResult]
) -> None:
    """As a blitz leaves it that was cut off between its last receipt and the stitching."""
    release(built.catalog, built.cars(), remove=True)
    with built.catalog.write() as connection:
        connection.execute(file.update().values(cid=None))
    assert delete(b"big").files == 1


def test_a_journal_that_can_not_be_written_deletes_nothing(
    built: Scene, delete: Callable[..., DeletionResult], tmp_path: Path
) -> None:
    release(built.catalog, built.cars(), remove=True)
    (tmp_path / "journal").write_bytes(b"a file in the folder's place")
    with pytest.raises(DeletionError, match=r"the journal .*p\.jsonl can't be written"):
        delete()
    assert (built.target / "a").exists()


# The CARs, as they are now


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def one_bit_under_the_same_time(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as car:
        car.seek(status.st_size // 2)
        byte = car.read(1)
        car.seek(-1, os.SEEK_CUR)
        car.write(bytes([byte[0] ^ 1]))
    with_times_of(path, status)


def cut(path: Path) -> None:
    os.truncate(path, 100)


def another(path: Path) -> None:
    status = path.stat()
    path.with_name("new").write_bytes(os.urandom(status.st_size))
    with_times_of(path.with_name("new"), status)
    path.with_name("new").rename(path)


def linked(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.symlink_to("away")


DAMAGE = pytest.mark.parametrize("damage", [random_bytes, one_bit_under_the_same_time, cut, another, linked])


@DAMAGE
@pytest.mark.parametrize("verified_again", [False, True])
@pytest.mark.parametrize("remove", [False, True])
def test_a_car_that_changed_is_neither_marked_nor_removed(
    built: Scene, damage: Callable[[Path], None], verified_again: bool, remove: bool
) -> None:
    path = built.staging / built.cars()[0].file_name
    damage(path)
    if verified_again and damage is not linked:
        assert built.problems()
    with pytest.raises(DeliveryError, match="so nothing was marked or removed"):
        release(built.catalog, built.cars(), remove=remove)
    assert os.path.lexists(path)
    assert [row.delivered_at for row in built.cars()] == [None] * len(built.cars())


@DAMAGE
def test_a_delivered_car_that_changed_holds_its_sources(
    built: Scene, delete: Callable[..., DeletionResult], damage: Callable[[Path], None]
) -> None:
    release(built.catalog, built.cars())
    damage(built.staging / built.cars()[0].file_name)
    for really in (False, True):
        result = delete(b"a", really=really)
        assert dict(result.kept) == {
            "the file of CAR p/0 isn't the one that was verified: run ptolemy verify p": 1
        }
    assert (built.target / "a").exists()


def test_a_car_that_was_copied_is_the_same_car(built: Scene, delete: Callable[..., DeletionResult]) -> None:
    path = built.staging / built.cars()[0].file_name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    release(built.catalog, built.cars())
    assert delete(b"a").files == 1


def test_a_car_that_is_gone_is_not_removed_and_its_sources_stay(
    built: Scene, delete: Callable[..., DeletionResult]
) -> None:
    (built.staging / built.cars()[0].file_name).unlink()
    with pytest.raises(
        DeliveryError, match="doesn't exist and was never marked as delivered, so nothing was"
    ):
        release(built.catalog, built.cars(), remove=True)
    assert [row.delivered_at for row in built.cars()] == [None] * len(built.cars())
    first, *_ = release(built.catalog, built.cars())
    assert "it isn't known to be complete" in (first.warning or "")
    (reason,) = delete(b"a").kept
    assert reason.startswith("CAR p/0 wasn't in staging_dir when it was marked as delivered")
    assert (built.target / "a").exists()
    assert delete(b"a", trust_marks=True).files == 1


def test_undo_says_what_became_of_the_file(built: Scene) -> None:
    from ptolemy_core.stages.release import undo

    release(built.catalog, built.cars())
    random_bytes(built.staging / built.cars()[0].file_name)
    cut(built.staging / built.cars()[1].file_name)
    said = [one.warning for one in undo(built.catalog, built.cars())[:2]]
    assert said == [
        "its file isn't the one that was verified: ptolemy verify p says what is wrong",
        "its file is incomplete: ptolemy verify p says what is wrong",
    ]


def test_what_can_not_be_read_keeps_what_was_known_of_it(built: Scene) -> None:
    forget_states(built)
    changed_in_place(built.target)
    assert not all(verdict.ok for verdict in built.verify(source=True))
    (built.target / "big").rename(built.target / "away")
    assert not all(verdict.ok for verdict in built.verify(source=True))
    (built.target / "away").rename(built.target / "big")
    with pytest.raises(DeliveryError, match="may contain data that was never in the source: big"):
        release(built.catalog, built.cars())
