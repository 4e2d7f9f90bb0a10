"""Each script of examples/ runs as its documentation says."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with files, a link and a folder in it."""
    folder = tmp_path / "photos"
    (folder / "2019").mkdir(parents=True)
    (folder / "2019" / "a.jpg").write_bytes(b"a picture")
    (folder / "b.bin").write_bytes(bytes(3_000_000))
    (folder / "latest").symlink_to("2019/a.jpg")
    return folder


def run(script: str, *arguments: object, data: bytes = b"", code: int = 0) -> str:
    """What a script prints; its exit code must be `code`."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)], input=data, capture_output=True, timeout=60
    )
    assert done.returncode == code, done.stderr.decode()
    return (done.stderr if code else done.stdout).decode()


def facts(printed: str) -> Mapping[str, str]:
    """The lines `name: value`."""
    return dict(re.findall(r"^([a-zA-Z][\w ]*): +(.*)$", printed, re.MULTILINE))


def test_all_scripts_are_listed_and_tested_here() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"^\| \[(\w+\.py)\]", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE))
    tested = set(re.findall(r'"(\w+\.py)"', Path(__file__).read_text("utf-8")))
    assert scripts == listed == tested


def test_build_read_and_extract(photos: Path, tmp_path: Path) -> None:
    built = facts(run("build_car.py", photos, tmp_path / "out"))
    car = Path(built["file"])
    assert car.parent == tmp_path / "out"
    assert built["size to be"].startswith(f"{car.stat().st_size} bytes")
    assert built["payload CID"] == run("folder_cid.py", photos).strip()

    hashed = facts(run("piece_commitment.py", car))
    assert hashed == facts(run("piece_commitment.py", data=car.read_bytes()))
    for name in ("piece CID v1", "piece CID v2", "padded piece"):
        assert hashed[name] == built[name]

    read = run("read_car.py", car)
    assert facts(read)["root"] == built["payload CID"]
    assert "as Ptolemy writes it: 2 files, 1 folders, 1 links" in read

    run("extract_file.py", "2019", tmp_path / "back", car)
    assert (tmp_path / "back" / "2019" / "a.jpg").read_bytes() == b"a picture"
    assert not (tmp_path / "back" / "b.bin").exists()


def test_a_damaged_car_is_named_with_its_byte(photos: Path, tmp_path: Path) -> None:
    car = Path(facts(run("build_car.py", photos, tmp_path / "out"))["file"])
    with car.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"X")
    done = subprocess.run([sys.executable, EXAMPLES / "read_car.py", car], capture_output=True, text=True)
    assert done.returncode == 1
    assert "hash-mismatch" in done.stdout


def test_a_project_runs_on_the_engine_alone_and_again(photos: Path, tmp_path: Path) -> None:
    printed = run("run_project.py", photos, tmp_path / "state")
    assert "scanned: 2 files, 3000009 bytes" in printed
    assert "planned: 1 new containers, 1 in all" in printed
    assert re.search(r"^\S+: baf\S+, at byte \d+ of baga\S+\.car$", printed, re.MULTILINE)
    again = run("run_project.py", photos, tmp_path / "state")
    assert again.splitlines()[2:] == printed.splitlines()[2:]
    assert "planned: 0 new containers, 1 in all" in again


@pytest.mark.parametrize("script", ["folder_cid.py", "build_car.py", "run_project.py"])
def test_a_missing_folder_is_an_error_without_a_traceback(script: str, tmp_path: Path) -> None:
    said = run(script, tmp_path / "nowhere", tmp_path / "out", code=1)
    assert said.startswith("error: ")
    assert "nowhere" in said
    assert "Traceback" not in said


def test_a_file_that_is_no_car_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "x.car").write_bytes(b"not a CAR")
    said = run("extract_file.py", "a", tmp_path / "back", tmp_path / "x.car", code=1)
    assert said.startswith("error: ")
    assert "x.car" in said
