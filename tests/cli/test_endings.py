"""How commands end: interrupts, outputs that can't be written, homes that can't be, locales without UTF-8."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ptolemy_core.stages.scan import scan
from tests.cli.commands import command, error_of, ptolemy
from tests.pipeline.backend import Backend

QUESTIONS = [["status"], ["status", "--json"], ["find", "a.txt"], ["changes", "delta", "--json"], ["--help"]]


def run(
    backend: Backend, *arguments: str, redirection: str = "", env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command with a shell's redirection of its standard output."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirection}', sys.executable, *command(*arguments)],
        env={**backend.env, **(env or {})},
        cwd=backend.root,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def scanned(delta: Backend) -> Backend:
    """Project delta, scanned."""
    scan(delta.catalog, "delta")
    return delta


@pytest.mark.parametrize(
    ("redirection", "why"), [(">/dev/full", b"No space left on device"), (">&-", b"it is closed")]
)
@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_an_output_that_cannot_be_written_is_an_error(
    scanned: Backend, arguments: list[str], redirection: str, why: bytes
) -> None:
    done = run(scanned, *arguments, redirection=redirection)
    assert done.returncode == 1
    message = b"standard output can't be written: " + why
    if "--json" in arguments:
        assert json.loads(done.stderr) == {"error": {"code": "failed", "message": message.decode()}}
    else:
        assert b"error: " + message in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_reader_that_has_enough_ends_a_command_quietly(scanned: Backend) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *command("find", "a.txt")],
            env=dict(scanned.env),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


def test_messages_that_cannot_be_written_stop_no_work(scanned: Backend) -> None:
    data = str(scanned.folder())
    assert run(scanned, "cid", data, redirection="2>/dev/full").stdout.startswith(b"bafy")
    assert run(scanned, "skipped", "delta", redirection="2>/dev/full").returncode == 0
    assert run(scanned, "cid", data, redirection="2>&-").stdout.startswith(b"bafy")


def test_closed_streams_are_not_taken_by_files(scanned: Backend) -> None:
    done = run(scanned, "manifest", "delta", redirection="0<&- 1>&- 2>&-")
    assert done.returncode == 1
    assert done.stdout + done.stderr == b""


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "POSIX"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["POSIX", "ASCII"],
)
def test_names_that_are_not_ascii_need_no_locale(sqlite: Backend, locale: Mapping[str, str]) -> None:
    source = sqlite.folder("qu\u00e9", {"\u00f1.txt": b"data"})
    staging = str(sqlite.root / "c\u00e5rs")
    made = run(sqlite, "create", "p", "--target-dir", str(source), "--staging-dir", staging, env=locale)
    assert made.returncode == 0, made.stderr
    scan(sqlite.catalog, "p")
    found = run(sqlite, "find", "\u00f1.txt", "--json", env=locale)
    assert found.returncode == 0, found.stderr
    assert "\u00f1.txt".encode() in found.stdout
    found = run(sqlite, "find", "\u00f1.txt", env={**locale, "PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0, found.stderr
    assert b"\\xf1.txt" in found.stdout


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_long_command_that_is_interrupted_ends_at_once(tmp_path: Path, sent: int, code: int) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)  # takes no room, and an hour to hash
    process = subprocess.Popen(
        [sys.executable, *command("commp", str(tmp_path / "large"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while f"{tmp_path}/large" not in _open_files(process.pid):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(sent)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == b""
    assert errors.strip().endswith(b"interrupted")
    assert b"Traceback" not in errors


def _open_files(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            continue
    return found


def test_a_hang_up_that_is_ignored_stays_so(scanned: Backend) -> None:
    script = 'trap "" HUP; exec "$0" "$@"'  # as nohup does
    code = (
        "import os, signal\n"
        "from ptolemy_core.interrupts import interruptible\n"
        "with interruptible():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('alive')\n"
    )
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, "-c", code],
        env=dict(scanned.env),
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"alive\n"


def test_no_project_yet_says_in_which_home(sqlite: Backend) -> None:
    home = sqlite.env["DAGSTER_HOME"]
    for message in (ptolemy("status").stderr, error_of("find", "x")):
        assert "no project yet" in message
        assert f"state is in {home};" in message
    assert error_of("scan", "x").strip().endswith(f"state is in {home}")


@pytest.mark.parametrize("arguments", [["status"], ["find", "x"], ["scan", "x"], ["restore", "x", "--list"]])
@pytest.mark.parametrize(
    ("home", "code", "why"),
    [
        ("state", 2, "DAGSTER_HOME must be an absolute path"),
        ("/dev/null", 1, "is a file, not a folder"),
        ("/dev/null/x", 1, "can't be written (Not a directory)"),
        ("/proc/x", 1, "can't be written (No such file or directory)"),
        ("/tmp/a?b", 2, "Dagster treats as a pattern"),
    ],
)
def test_a_home_that_cannot_be_is_one_clear_message(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch, arguments: list[str], home: str, code: int, why: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    assert why in error_of(*arguments, code=code)


def test_a_run_that_could_not_start_says_why(scanned: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_BUILD_PROCESSES", "many")
    message = error_of("scan", "delta", "--json")
    assert "PTOLEMY_BUILD_PROCESSES must be a whole number from 1 to 10000, got 'many'" in message


def test_a_kernel_that_is_not_there_is_one_clear_message(sqlite: Backend) -> None:
    done = run(sqlite, "cid", str(sqlite.folder()), env={"PTOLEMY_KERNEL": "fast"})
    assert done.returncode == 1
    assert b"error: kernel variant 'fast' is not available here" in done.stderr
    assert b"Traceback" not in done.stderr
