"""Commands that answer questions: status, cars, find, cid, commp, --help."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import error_of, printed, process, ptolemy
from tests.cli.conftest import AWKWARD
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files

COMMANDS = (
    "create",
    "scan",
    "containerize",
    "blitz",
    "run",
    "verify",
    "status",
    "cars",
    "find",
    "root",
    "manifest",
    "cid",
    "commp",
    "release",
    "delete-source",
    "deleted",
)


def build(backend: Backend, project: str = "delta") -> None:
    with backend.instance() as instance:
        in_process("onboard", project, instance)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    text = ptolemy(name, "--help").stdout
    assert "Usage:" in text
    assert f"  {name} " in ptolemy("--help").stdout or name in ptolemy("--help").stdout


def test_status_shows_each_project_and_its_progress(delta: Backend) -> None:
    delta.define("echo")
    assert [(row["project"], row["status"]) for row in printed("status")] == [
        ("delta", "defined"),
        ("echo", "defined"),
    ]
    build(delta)
    (row,) = printed("status", "delta")
    assert (row["status"], row["reason"], row["tasks"]) == ("blitz complete", None, [])
    assert (row["cars"]["planned"], row["cars"]["built"]) == (1, 1)
    assert row["cars"]["bytes_done"] == row["cars"]["bytes_total"] > 0
    text = ptolemy("status").stdout
    assert "blitz complete" in text
    assert "1 of 1" in text
    assert "100%" in text


def test_status_without_projects_says_how_to_make_one(sqlite: Backend) -> None:
    result = ptolemy("status")
    assert "no project yet: ptolemy create NAME" in result.stderr
    assert printed("status") == []


def test_cars_print_whole_cids(delta: Backend) -> None:
    assert printed("cars", "delta") == []
    build(delta)
    (car,) = printed("cars", "delta")
    text = ptolemy("cars", "delta").stdout
    assert car["payload_cid"] in text
    assert car["piece_cid"] in text
    assert {"container", "car_size", "piece_size", "sha256", "file_name", "items"} <= car.keys()


def test_find_leads_from_a_path_to_its_car_and_from_each_cid_back(delta: Backend) -> None:
    build(delta)
    (car,) = printed("cars", "delta")
    (found,) = printed("find", "b/c.bin")
    assert (found["project"], found["path"], found["size"]) == ("delta", "b/c.bin", 5000)
    assert found["piece_cid"] == car["piece_cid"]
    assert found["payload_cid"] == car["payload_cid"]
    assert found["cid"] == printed("cid", delta.root / "data/b/c.bin")[0]["cid"]
    assert printed("find", found["cid"]) == [found]
    assert printed("find", "b") == [found]
    everything = printed("find", car["payload_cid"])
    assert [one["path"] for one in everything] == ["a.txt", "b/c.bin"]
    for key in ("piece_cid", "piece_cid_v2"):
        assert printed("find", car[key]) == everything
    assert len(printed("find", car["piece_cid"], "--limit", 1)) == 1
    assert found["cid"] in ptolemy("find", "b/c.bin").stdout


def test_find_by_prefix_pattern_and_version(delta: Backend) -> None:
    plan_small(delta.catalog, "delta", 1 << 20)
    assert [one["path"] for one in printed("find", "b/c", "--prefix")] == ["b/c.bin"]
    assert [one["path"] for one in printed("find", "**/*.bin", "--glob")] == ["b/c.bin"]
    assert "can't be combined" in error_of("find", "a", "--prefix", "--glob", code=2)
    result = ptolemy("find", "", "--limit", 1)
    assert "these are the first 1: --limit N shows more" in result.stderr
    (delta.root / "data/a.txt").unlink()
    plan_small(delta.catalog, "delta", 1 << 20)
    assert "'a.txt' is gone: --all shows the versions" in error_of("find", "a.txt")
    (gone,) = printed("find", "a.txt", "--all")
    assert gone["current"] is False
    assert "replaced" in ptolemy("find", "a.txt", "--all").stdout


def test_find_takes_a_path_as_manifests_escape_it(delta: Backend) -> None:
    with open(os.fsencode(delta.root) + b"/data/back\\slash\xff", "wb"):
        pass
    plan_small(delta.catalog, "delta", 1 << 20)
    (found,) = printed("find", "back\\\\slash\\xff")
    assert found["path"] == "back\\\\slash\\xff"


def test_root_is_the_folders_cid_and_its_history_is_kept(delta: Backend) -> None:
    assert "isn't scanned yet" in error_of("root", "delta")
    build(delta)
    first = printed("root", "delta")
    assert first["root_cid"] == printed("cid", delta.root / "data")[0]["cid"]
    assert first["root_cid"] in ptolemy("root", "delta").stdout
    (found,) = printed("find", first["piece_cid"])
    assert (found["path"], found["file_name"]) == ("", first["file_name"])
    car = delta.staging() / first["file_name"]
    data = car.read_bytes()
    car.unlink()
    assert "ptolemy root delta --rebuild writes it again" in ptolemy("root", "delta").output
    assert printed("root", "delta", "--rebuild") == first
    assert "--rebuild" not in ptolemy("root", "delta").output
    assert car.read_bytes() == data
    (delta.root / "data/new").write_bytes(b"new")
    build(delta)
    history = printed("root", "delta", "--history")
    assert [row["root_cid"] for row in history] == [
        printed("cid", delta.root / "data")[0]["cid"],
        first["root_cid"],
    ]


def test_manifest_writes_three_files(delta: Backend, tmp_path: Path) -> None:
    assert "isn't scanned yet" in error_of("manifest", "delta")
    build(delta)
    assert {path.name for path in (delta.staging() / "manifests").iterdir()} == {
        "delta.manifest.parquet",
        "delta.summary.json",
        "delta.cars.csv",
    }
    out = tmp_path / "out"
    options = ("--format", "csv", "--to", out, "--url", "https://x/{piece_cid}.car")
    lines = ptolemy("manifest", "delta", *options).stdout.splitlines()
    assert lines == [str(out / f"delta.{end}") for end in ("manifest.csv", "summary.json", "cars.csv")]
    summary = json.loads((out / "delta.summary.json").read_text())
    (car,) = printed("cars", "delta")
    assert summary["cars"][0]["url"] == f"https://x/{car['piece_cid']}.car"
    assert summary["root"]["root_cid"] == printed("root", "delta", "--history")[0]["root_cid"]
    assert printed("manifest", "delta", "--car", 0, "--to", out)["rows"] == 2
    assert "format must be" in error_of("manifest", "delta", "--format", "xml", code=2)


def test_find_of_an_unbuilt_file_says_so(delta: Backend) -> None:
    plan_small(delta.catalog, "delta", 1 << 20)
    (found,) = printed("find", "a.txt")
    assert (found["container"], found["cid"], found["piece_cid"]) == (0, None, None)
    assert "not built" in ptolemy("find", "a.txt").stdout


def test_find_looks_in_one_project_if_asked(delta: Backend) -> None:
    delta.define("echo")
    for project in ("delta", "echo"):
        build(delta, project)
    assert [one["project"] for one in printed("find", "a.txt")] == ["delta", "echo"]
    assert [one["project"] for one in printed("find", "a.txt", "--project", "echo")] == ["echo"]


def test_find_of_a_name_without_its_folder_says_how_to_search_all_folders(delta: Backend) -> None:
    build(delta, "delta")
    assert "to search all folders: ptolemy find --glob '**/c.bin'" in error_of("find", "c.bin")
    assert [one["path"] for one in printed("find", "--glob", "**/c.bin")] == ["b/c.bin"]
    for what in ("bafkqaaa", "b/d.bin", "*.txt"):
        assert "--glob" not in error_of("find", what)


@pytest.mark.parametrize("what", ["nothing.txt", "bafkqaaa", "b/c.bin/d"])
def test_find_without_a_match_exits_1(delta: Backend, what: str) -> None:
    assert f"no file or CID matches {what!r}" in error_of("find", what)
    result = ptolemy("find", what, "--json", code=1)
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_survive_find_and_cid(sqlite: Backend, awkward: Path, name: bytes) -> None:
    sqlite.define(target=awkward)
    build(sqlite)
    done = process(sqlite, "find", "--json", "--", name)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["size"] == len(b"data of " + name)
    hashed = process(sqlite, "cid", "--json", "--", os.path.join(os.fsencode(awkward), name))
    assert hashed.returncode == 0, hashed.stderr
    assert json.loads(hashed.stdout)[0]["cid"] == found["cid"]
    for arguments in (["find", "--", name], ["cid", "--", os.path.join(os.fsencode(awkward), name)]):
        shown = process(sqlite, *arguments)
        assert shown.returncode == 0, shown.stderr
        assert found["cid"].encode() in shown.stdout


def test_cid_of_several_paths_prints_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello world")
    (tmp_path / "b").mkdir()
    lines = ptolemy("cid", tmp_path / "a", tmp_path / "b").stdout.splitlines()
    # the CIDs that any tool of the profile gives for these bytes, and for an empty folder
    assert lines == [
        f"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e  {tmp_path}/a",
        f"bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354  {tmp_path}/b",
    ]


@pytest.mark.parametrize("name", ["cid", "commp"])
def test_cid_and_commp_of_what_is_not_there_exit_1(tmp_path: Path, name: str) -> None:
    assert "missing can't be read: No such file or directory" in error_of(name, tmp_path / "missing")


def test_commp_refuses_a_folder(tmp_path: Path) -> None:
    assert "can't be read: Is a directory" in error_of("commp", tmp_path)


def test_commp_of_zeros_is_the_known_piece(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(127 * 16))
    (row,) = printed("commp", tmp_path / "zeros")
    assert (row["size"], row["piece_size"]) == (2032, 2048)
    assert row["piece_cid"] == "baga6ea4seaqpy7usqklokfx2vxuynmupslkeutzexe2uqurdg5vhtebhxqmpqmy"


@pytest.mark.parametrize("name", ["cid", "commp"])
def test_cid_and_commp_do_not_import_dagster(sqlite: Backend, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"data")
    script = (
        "import sys\n"
        "from ptolemy_dagster.cli.app import app\n"
        "try:\n    app()\n"
        "finally:\n    assert not {'dagster', 'alembic'} & sys.modules.keys()\n"
    )
    arguments = [sys.executable, "-c", script, name, str(tmp_path / "file")]
    done = subprocess.run(arguments, env=dict(sqlite.env), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_database_that_is_not_there_is_one_clear_message(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOLEMY_PG_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("PTOLEMY_PG_PATIENCE", "0.1")
    assert "Postgres at 127.0.0.1:1/none didn't answer" in error_of("status")
    monkeypatch.setenv("PTOLEMY_PG_URL", "mysql://host/db")
    assert "PTOLEMY_PG_URL must look like postgresql://" in error_of("status", code=2)


def test_many_cars_are_all_listed(delta: Backend) -> None:
    delta.define("echo", delta.folder("many", tiny_files(30)))
    plan_small(delta.catalog, "echo", 3100)
    build(delta, "echo")
    assert [car["container"] for car in printed("cars", "echo")] == list(range(30))
