"""Dagster's SQLite databases, kept open: what was written is read, also after files are gone or were cut off."""

import os
import sys
from pathlib import Path

import dagster as dg

from ptolemy_dagster.internals.compute_logs import StepLogs
from ptolemy_dagster.internals.sqlite import SqliteStorage

KEY = ["run", "compute_logs", "step"]


def _entry(run_id: str, message: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=10,
        user_message=message,
        run_id=run_id,
        timestamp=1.0,
        dagster_event=None,
    )


def _messages(storage: SqliteStorage, run_id: str) -> list[str]:
    return [entry.user_message for entry in storage.event_log_storage.get_logs_for_run(run_id)]


def test_each_run_has_events_of_its_own_in_a_copy_of_one_empty_database(tmp_path: Path) -> None:
    storage = SqliteStorage(str(tmp_path))
    for run_id in (f"run{number}" for number in range(12)):  # more than are kept open
        storage.event_log_storage.store_event(_entry(run_id, f"said by {run_id}"))
    again = SqliteStorage(str(tmp_path))
    for run_id in (f"run{number}" for number in range(12)):
        assert _messages(storage, run_id) == _messages(again, run_id) == [f"said by {run_id}"]
    assert len(list((tmp_path / "history").glob("empty-run-*.db"))) == 1
    assert sorted(path.stem for path in (tmp_path / "history" / "runs").glob("run*.db")) == sorted(
        f"run{number}" for number in range(12)
    )


def test_a_runs_database_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    storage = SqliteStorage(str(tmp_path))
    storage.event_log_storage.store_event(_entry("run", "before"))
    for path in (tmp_path / "history" / "runs").glob("run.db*"):
        path.unlink()
    storage.event_log_storage.store_event(_entry("run", "after"))
    assert _messages(storage, "run") == _messages(SqliteStorage(str(tmp_path)), "run") == ["after"]


def test_a_runs_database_that_a_power_cut_left_empty_is_made_good(tmp_path: Path) -> None:
    storage = SqliteStorage(str(tmp_path))
    (tmp_path / "history" / "runs" / "run.db").touch()
    storage.event_log_storage.store_event(_entry("run", "after"))
    assert _messages(storage, "run") == ["after"]


def test_what_a_step_and_its_programs_print_is_kept_and_passed_on(tmp_path: Path) -> None:
    logs = StepLogs(str(tmp_path / "logs"))
    shown = tmp_path / "shown"
    before = os.dup(1), sys.stdout
    with open(shown, "w") as file:
        os.dup2(file.fileno(), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        try:
            with logs.capture_logs(KEY):
                print("by Python")
                sys.stdout.flush()
                os.system("echo by a program")
                assert shown.read_bytes() == b""
                assert not logs.is_capture_complete(KEY)
            print("later")
            sys.stdout.flush()
        finally:
            sys.stdout = before[1]
            os.dup2(before[0], 1)
            os.close(before[0])
    assert logs.get_log_data(KEY).stdout == b"by Python\nby a program\n"
    assert shown.read_bytes() == b"by Python\nby a program\nlater\n"
    assert logs.is_capture_complete(KEY)
