"""How commands start: what each imports, that the list of commands agrees with them, version and completion."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from ptolemy_dagster.cli import idle
from ptolemy_dagster.cli.commands import COMMANDS
from ptolemy_dagster.cli.idle import seems_done
from tests.cli.commands import ptolemy
from tests.pipeline.backend import Backend
from tests.pipeline.processes import runs

HEAVY = {"dagster", "sqlalchemy", "alembic", "pyarrow", "numpy", "fastapi", "cryptography", "psycopg2"}
POSTGRES = "sqlalchemy.dialects.postgresql"

NOT_FOR_A_SCAN = HEAVY - {"dagster", "sqlalchemy", "numpy"} | {
    "dagster._daemon.controller",
    "dagster.components",
    "dagster_postgres",
    "dask",
    "typer",
    "pygments",
    "rich",
    "structlog",
    "tqdm",
    "ptolemy_core.catalog.served",
    "ptolemy_core.catalog.views",
    "ptolemy_core.deals",
    "ptolemy_core.facts.deals",
    "ptolemy_core.facts.files",
    "ptolemy_core.facts.projects",
    "ptolemy_core.gateway",
    "ptolemy_core.keys.wallets",
    "ptolemy_core.reader",
    "ptolemy_core.restore.extract",
    "ptolemy_core.restore.project",
    "ptolemy_core.stages.deal",
    "ptolemy_core.stages.deal_round",
    "ptolemy_core.stages.manifest",
    "ptolemy_core.stages.verify",
}


def imported(backend: Backend, *arguments: str) -> set[str]:
    """Which of the heavy packages a command has imported at its end, and whether what Postgres needs."""
    code = (
        "import sys\n"
        "from ptolemy_dagster.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print('\\nHEAVY', *({HEAVY | {POSTGRES}!r} & sys.modules.keys()), file=sys.__stderr__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=dict(backend.env),
        cwd=backend.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("HEAVY")]
    assert "Traceback" not in done.stderr
    return set(line.split()[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_on_a_command_is_the_first_of_its_own_help(name: str) -> None:
    command = COMMANDS[name]
    module = import_module(f"ptolemy_dagster.cli.{command.module}")
    found = getattr(module, command.name)
    text = module.HELP if isinstance(found, dict) else inspect.getdoc(found)
    assert command.help == text.split("\n\n")[0].replace("\n", " ")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_the_list_of_commands_needs_none_of_them(sqlite: Backend, arguments: list[str]) -> None:
    assert imported(sqlite, *arguments) == set()


@pytest.mark.parametrize(
    "arguments", [["cid", "x"], ["commp", "x"], ["extract", "x", "--list"], ["cid", "-h"]]
)
def test_a_command_on_files_needs_no_database(sqlite: Backend, arguments: list[str]) -> None:
    (sqlite.root / "x").write_bytes(b"data")
    assert imported(sqlite, *arguments) <= {"numpy"}


@pytest.mark.parametrize("arguments", [["status"], ["cars", "delta"], ["find", "a.txt"], ["scan", "nemo"]])
def test_a_question_to_the_catalog_needs_no_dagster(delta: Backend, arguments: list[str]) -> None:
    assert not imported(delta, *arguments) & {"dagster", "pyarrow", "fastapi", "cryptography", POSTGRES}


def test_a_run_is_waited_for_without_dagster(delta: Backend) -> None:
    assert "dagster" not in imported(delta, "scan", "delta")
    (run,) = runs(delta)
    assert (run.job_name, run.status.value) == ("scan", "SUCCESS")
    assert run.remote_job_origin is not None  # so it is among the runs of its job in the web UI
    assert run.remote_job_origin.location_name == "ptolemy"


def test_the_process_of_a_scan_on_sqlite_imports_what_a_scan_needs(delta: Backend) -> None:
    ptolemy("scan", "delta")  # the first run of all makes Dagster's databases
    code = (
        "import os, sys, tempfile\n"
        "from ptolemy_dagster import execute\n"
        "execute._import()\n"
        "told = tempfile.TemporaryFile()\n"
        "execute._execute(execute.Request('scan', 'delta', 'launch', os.getpid(), told.fileno()))\n"
        f"print(execute.read_answer(told.fileno()).ok, *sorted({NOT_FOR_A_SCAN!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(delta.env),
        cwd=delta.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


def test_the_version_is_printed() -> None:
    assert ptolemy("--version").stdout.startswith("ptolemy ")


def test_a_group_and_a_command_have_help_with_either_option() -> None:
    assert "rotate" in ptolemy("keys", "-h").stdout
    assert ptolemy("scan", "-h").stdout == ptolemy("scan", "--help").stdout
    assert "--target-dir" in ptolemy("create", "-h").stdout


def test_commands_and_options_are_completed_in_a_shell(sqlite: Backend) -> None:
    def completed(words: str, at: int) -> str:
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.argv[0] = 'ptolemy'; from ptolemy_dagster.cli import main; main()",
            ],
            env={
                **sqlite.env,
                "_PTOLEMY_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(at),
            },
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    assert completed("ptolemy cont", 1).split() == ["containerize"]
    assert "--dry-run" in completed("ptolemy containerize --d", 2)


def test_what_is_done_is_said_without_a_run(delta: Backend) -> None:
    ptolemy("run", "delta")
    count = len(runs(delta))
    for stage in ("containerize", "blitz", "verify"):
        assert "nothing to do: " in ptolemy(stage, "delta").stderr
    assert len(runs(delta)) == count
    (delta.root / "data" / "new.txt").write_bytes(b"new")
    ptolemy("scan", "delta")
    assert "nothing to do" not in ptolemy("containerize", "delta").stderr
    assert "nothing to do" not in ptolemy("blitz", "delta").stderr
    assert len(delta.cars()) == 2


def test_the_first_look_knows_what_is_done_and_leaves_the_rest_to_the_command(delta: Backend) -> None:
    assert not seems_done(["run", "delta"])
    ptolemy("run", "delta")
    for done in ["run", "delta"], ["containerize", "--json", "delta"], ["verify", "delta"], ["root", "delta"]:
        assert seems_done(done), done
    for other in ["scan", "delta"], ["verify", "delta", "--again"], ["blitz"], ["blitz", "nemo"]:
        assert not seems_done(other), other
    (delta.root / "data" / "new.txt").write_bytes(b"new")
    assert not seems_done(["run", "delta"])


def test_a_large_project_is_compared_once_by_the_command_alone(
    delta: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ptolemy("run", "delta")
    monkeypatch.setattr(idle, "_COMPARED_FIRST", 0)
    assert not seems_done(["run", "delta"])
    assert "nothing changed since the last scan" in (
        idle.nothing_to_do(delta.catalog, "onboard", "delta") or ""
    )
    assert idle.nothing_to_do(delta.catalog, "onboard", "delta", at_most=0) is None


def test_a_failed_run_is_done_again_though_nothing_seems_left_to_do(delta: Backend) -> None:
    ptolemy("run", "delta")
    (name,) = delta.cars()
    path = delta.staging() / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    ptolemy("verify", "delta", code=1)
    path.write_bytes(whole)
    assert "nothing to do" not in ptolemy("blitz", "delta").stderr
    assert "blitz complete" in ptolemy("status").stdout
