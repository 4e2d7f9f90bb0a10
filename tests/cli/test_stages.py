"""Commands that run stages: what they print, what they change, how they fail."""

import os
import signal
from pathlib import Path

import pytest

from ptolemy_dagster.liveness import PID_TAG
from tests.cli.commands import command, error_of, printed, process, ptolemy
from tests.pipeline.backend import Backend
from tests.pipeline.processes import runs, started_python, wait_until


def test_run_takes_a_folder_to_verified_cars_on_sqlite_and_postgres(backend: Backend) -> None:
    folder = backend.folder()
    staging = backend.staging()
    made = process(backend, "create", "delta", "-t", str(folder), "-s", str(staging), "--car-size", "1")
    assert made.returncode == 0, made.stderr
    done = process(backend, "run", "delta")
    assert done.returncode == 0, done.stderr
    (name,) = backend.cars()
    assert name.removesuffix(".car").encode() in done.stdout
    assert backend.staged() == {name}
    before = (staging / name).stat().st_mtime_ns, backend.cars()
    again = process(backend, "run", "delta", "--json")
    assert again.returncode == 0, again.stderr
    assert ((staging / name).stat().st_mtime_ns, backend.cars()) == before


def test_stages_one_by_one_print_json(delta: Backend) -> None:
    scanned = printed("scan", "delta")
    assert (scanned["files"], scanned["data_bytes"], scanned["largest"]) == (2, 5005, 5000)
    dry = printed("containerize", "delta", "--dry-run")
    assert printed("status", "delta")[0]["status"] == "scan completed"
    (plan,) = printed("containerize", "delta")
    assert dry == [plan]
    assert (plan["container"], plan["items"], plan["data_bytes"], plan["built"]) == (0, 2, 5005, False)
    (car,) = printed("blitz", "delta")
    assert (car["car_size"], car["piece_size"]) == (plan["car_size"], plan["piece_size"])
    assert car["piece_cid"].startswith("baga6ea4seaq")
    assert car["piece_cid_v2"].startswith("bafkzcib")
    assert (delta.staging() / car["file_name"]).stat().st_size == car["car_size"]
    assert printed("cars", "delta") == [car]
    assert printed("verify", "delta") == {
        "project": "delta",
        "ok": True,
        "cars": 1,
        "read": 1,
        "delivered": 0,
        "dead": 0,
        "not_stored": {"unreadable": 0, "special": 0, "own": 0, "dropped": 0, "total": 0},
    }
    assert printed("commp", delta.staging() / car["file_name"])[0]["piece_cid"] == car["piece_cid"]
    assert f"piece CID: {car['piece_cid']}\n" in ptolemy("commp", delta.staging() / car["file_name"]).stdout
    assert printed("cid", delta.root / "data")[0]["cid"] == car["payload_cid"]


def test_verify_exits_1_after_a_bit_flip_and_names_the_car(delta: Backend) -> None:
    ptolemy("run", "delta")
    (name,) = delta.cars()
    path = delta.staging() / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert name in error_of("verify", "delta")
    assert printed("status", "delta")[0]["status"] == "verification failed"


def test_a_changed_source_fails_the_command_by_its_name(delta: Backend) -> None:
    ptolemy("scan", "delta")
    ptolemy("containerize", "delta")
    (delta.root / "data" / "a.txt").write_bytes(b"changed")
    message = error_of("blitz", "delta")
    assert f"{delta.root}/data/a.txt changed since the scan, its size was 5 bytes, now 7" in message
    assert printed("status", "delta")[0]["status"] == "blitz failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scan", "nemo"), "no project 'nemo': create it first (projects: delta)"),
        (("run", "nemo"), "no project 'nemo': create it first (projects: delta)"),
        (("cars", "nemo"), "no project 'nemo'"),
        (("status", "nemo"), "no project 'nemo'"),
        (("containerize", "delta"), "project 'delta' isn't scanned yet: run `ptolemy scan delta` first"),
        (("containerize", "delta", "--dry-run"), "project 'delta' isn't scanned yet"),
        (("blitz", "delta"), "project 'delta' isn't scanned yet"),
        (("verify", "delta"), "project 'delta' isn't scanned yet"),
    ],
)
def test_a_stage_that_cannot_start_says_why(delta: Backend, arguments: tuple[str, ...], message: str) -> None:
    assert f"error: {message}" in error_of(*arguments)
    assert runs(delta) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--car-size": "64"}, "car_size must be 1 to 31 GiB, got 64"),
        ({"--shard-size": "0"}, "shard_size must be 1 to 31 GiB, got 0; use shard_size=1"),
        ({"--shard-size": "9", "--car-size": "7"}, "shard_size 9 GiB is larger than car_size 7 GiB"),
        ({"--encryption": "a b"}, 'encryption must be "None" or the alias of a key'),
        ({"--load-type": "slow"}, 'load_type must be "blitz" or "serial", got \'slow\''),
        ({"--target-dir": "/nowhere"}, "target_dir '/nowhere' isn't a folder"),
        ({"--staging-dir": "{target}/out"}, "is inside target_dir"),
        ({"name": "a/b"}, "name must be 1 to 63 letters, digits, - or _"),
    ],
)
def test_create_refuses_bad_settings(sqlite: Backend, options: dict[str, str], message: str) -> None:
    target = sqlite.folder()
    given = {"--target-dir": str(target), "--staging-dir": str(sqlite.staging())} | options
    name = given.pop("name", "echo")
    arguments = [part.format(target=target) for pair in given.items() for part in pair]
    assert message in error_of("create", name, *arguments, code=2)
    assert printed("status") == []


def test_create_twice_is_fine_and_other_settings_are_refused(sqlite: Backend, tmp_path: Path) -> None:
    arguments = ("create", "echo", "-t", sqlite.folder(), "-s", sqlite.staging())
    first = printed(*arguments)
    assert (first["created"], first["car_size"], first["shard_size"]) == (True, 31, 1)
    assert printed(*arguments)["created"] is False
    assert "project 'echo' already exists, with car_size 31, not 7" in error_of(*arguments, "--car-size", 7)


def test_create_takes_relative_folders(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.folder()
    monkeypatch.chdir(sqlite.root)
    made = printed("create", "echo", "-t", "data", "-s", "out")
    assert (made["target_dir"], made["staging_dir"]) == (str(sqlite.root / "data"), str(sqlite.root / "out"))


def test_create_warns_of_a_car_size_that_pads_badly(sqlite: Backend) -> None:
    result = ptolemy("create", "echo", "-t", sqlite.folder(), "-s", sqlite.staging(), "--car-size", 16)
    assert "warning: car_size=16 makes 32 GiB pieces" in result.stderr


def test_wrong_usage_exits_2(sqlite: Backend) -> None:
    for arguments in (("scan",), ("create", "x"), ("create", "x", "--car-size", "big"), ("nonsense",)):
        ptolemy(*arguments, code=2)


@pytest.mark.parametrize("kill", ["the command and its run", "the command alone"])
def test_a_killed_command_does_not_stay_executing(delta: Backend, kill: str) -> None:
    fifo = delta.root / "data" / "slow"
    with started_python(delta, *command("run", "delta", "--json")) as run:
        wait_until(lambda: runs(delta) and PID_TAG in runs(delta)[0].tags, alive=[run])
        if kill == "the command alone":
            run.kill()
            run.wait()
            wait_until(lambda: "executing" not in printed("status", "delta")[0]["status"])
            return
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert not fifo.exists()
    assert printed("status", "delta")[0]["status"].endswith("failed")
    ptolemy("run", "delta")
    assert printed("status", "delta")[0]["status"] == "blitz complete"


def test_run_ends_after_the_stage_that_is_named_and_a_later_run_does_the_rest(delta: Backend) -> None:
    shown = ptolemy("run", "delta", "--until", "containerize")
    assert "container" in shown.stdout
    assert "4.89 KiB" in shown.stdout
    assert delta.cars() == {}
    built = printed("run", "delta", "--until", "blitz")
    assert [car["verified_at"] for car in built["cars"]] == [None]
    assert (built["root"], built["manifest"]) == (None, None)
    assert not (delta.staging() / "manifests").exists()
    assert len(runs(delta)) == 2
    again = ptolemy("run", "delta", "--until", "blitz")
    said = "nothing to do: nothing changed since the last scan, and the only CAR of delta is built\n"
    assert said in again.stderr
    assert len(runs(delta)) == 2
    whole = printed("run", "delta")
    assert all(car["verified_at"] for car in whole["cars"])
    assert whole["root"]["root_cid"].startswith("bafy")
    assert whole["manifest"].endswith("delta.manifest.parquet")
    assert len(runs(delta)) == 3


def test_a_last_stage_that_run_does_not_have_is_refused_with_those_it_has(delta: Backend) -> None:
    said = " ".join(error_of("run", "delta", "--until", "deal", code=2).split())
    assert "Invalid value for '--until': must be one of 'scan', 'containerize', 'blitz'" in said
    assert "got 'deal'" in said
    assert runs(delta) == []
