"""kill -9 between any two steps of a deletion: the next run, or scan, settles it; nothing newer is lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import deletions
from ptolemy_core.source import safe_delete
from ptolemy_core.stages.delete_source import DeletionResult, Options, delete_source
from ptolemy_core.stages.release import release

from .conftest import PROFILE, Scene

FILES = {b"a": b"first", b"d": {b"f": b"deep"}}
STEPS = 40
"""More than a deletion of these files has."""


def delivered(stage: Scene) -> Scene:
    stage.run(FILES)
    assert stage.problems() == []
    release(stage.catalog, stage.cars(), remove=True)
    return stage


def delete(stage: Scene, journal: Path) -> DeletionResult:
    options = Options(really=True)
    return delete_source(stage.catalog, stage.name, (), options, journal_dir=str(journal), profile=PROFILE)


def killed_at(step: int, stage: Scene, journal: Path, replace: bool) -> bool:
    """Delete in a child process that dies before its step of this number; whether it got so far.

    With `replace` somebody puts a newer file into the place of `a`, right before it is set aside.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    code = 1
    try:
        stage.catalog.engine.dispose(close=False)
        count = 0

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os._exit(9)
                return real(*arguments, **more)

            return call

        rename = os.rename

        def replaced(old: bytes, new: bytes, **more: Any) -> None:
            if old == b"a":
                (stage.target / "new").write_bytes(b"newer")
                os.replace(stage.target / "new", stage.target / "a")
                replaced_mark(journal).touch()
            rename(old, new, **more)

        os.rename = dying(replaced if replace else rename)
        os.unlink = dying(os.unlink)
        os.fsync = dying(os.fsync)
        safe_delete.rename_new = dying(safe_delete.rename_new)
        for name in ("intend", "finish", "forget"):
            setattr(deletions, name, dying(getattr(deletions, name)))
        delete(stage, journal)
        code = 0
    finally:
        os._exit(code)


def replaced_mark(journal: Path) -> Path:
    """Is there once the newer file is."""
    return journal.with_suffix(".replaced")


def on_disk(stage: Scene) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), stage.target)
        for folder, _, names in os.walk(stage.target)
        for name in names
    )


@pytest.mark.slow
@pytest.mark.parametrize("then", ["delete", "scan"])
@pytest.mark.parametrize("replace", [False, True])
def test_killed_between_any_two_steps_it_is_settled(
    make: Any, tmp_path: Path, then: str, replace: bool
) -> None:
    for step in range(1, STEPS):
        stage = delivered(make(f"p{step}"))
        journal = tmp_path / f"journal{step}"
        killed = killed_at(step, stage, journal, replace)
        if then == "scan":
            stage.scan()
            assert not [name for name in on_disk(stage) if "ptolemy" in name], (step, on_disk(stage))
            if replaced_mark(journal).exists():
                assert (stage.target / "a").read_bytes() == b"newer", step
                stage.plan()
                stage.blitz()
                assert stage.problems() == []
                release(stage.catalog, stage.cars(), remove=True)
        delete(stage, journal)
        left = on_disk(stage)
        rows = list(deletions.rows(stage.catalog, stage.name))
        assert all(row.deleted_at for row in rows), step
        if then == "delete" and replaced_mark(journal).exists():
            assert left == ["a"], (step, left)
            assert (stage.target / "a").read_bytes() == b"newer"
        else:
            assert left == [], (step, left)
            assert {row.path for row in rows} == {b"a", b"d\0f"}
        if not killed:
            break
    assert step > 8
    assert not killed


def test_killed_at_once_it_is_settled(stage: Scene, tmp_path: Path) -> None:
    """The quick one of the above: right after the first file was set aside."""
    delivered(stage)
    step = 1
    while killed_at(step, stage, tmp_path / "journal", replace=False):
        aside = [name for name in on_disk(stage) if "ptolemy-delete" in name]
        if aside:
            break
        step += 1
    assert len(aside) == 1
    assert delete(stage, tmp_path / "journal").files == 2
    assert on_disk(stage) == []
