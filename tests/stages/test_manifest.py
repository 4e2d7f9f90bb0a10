"""Manifests: three formats with the same rows, a summary, and the documentation's checker over real CARs."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ptolemy_core.catalog import find
from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError, StageOrderError, StagingError
from ptolemy_core.manifest import writers
from ptolemy_core.manifest.schema import COLUMNS
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.manifest import Manifest, ManifestOptions, write_manifest
from ptolemy_core.tree import paths
from tests.dag import oracle

from .conftest import PROFILE, Scene

DOCS = Path(__file__).parents[2] / "docs" / "manifests.md"
TREE: oracle.Content = {
    b"big": bytes(range(256)) * 37,
    b"empty": b"",
    b"none": {},
    b"link": oracle.Link(b"a/b"),
    b"wide": {b"%03d" % k: b"%d" % k for k in range(60)},
    b"\xff\xfe\n": {b'it\'s, "quoted"': b"awkward", b"back\\slash": b"\\"},
    b"=1+1": b"starts like a formula",
}


def write(stage: Scene, **options: Any) -> Manifest:
    number = options.pop("number", None)
    how = ManifestOptions(**options)
    return write_manifest(stage.catalog, stage.name, how, number=number, profile=PROFILE)


def rows_of(path: str) -> list[dict[str, Any]]:
    """A manifest's rows with the types of its schema."""
    if path.endswith(".parquet"):
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.endswith(".jsonl"):
        return [json.loads(line) for line in Path(path).read_text().splitlines()]
    kinds = {column.name: column.type for column in COLUMNS}
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: typed(kinds[name], text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def typed(kind: str, text: str) -> Any:
    if kind == "string":
        return text or None
    return {"true": True, "false": False}[text] if kind == "bool" else int(text) if text else None


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    return stage


def test_all_formats_have_the_same_rows_and_they_are_those_of_look_ups(built: Scene) -> None:
    rows = rows_of(write(built).manifest)
    for row in rows:
        assert paths.unescape(row["path"]).replace(b"\0", b"/") == row.pop("path_bytes")
    for form in ("csv", "jsonl"):
        assert rows_of(write(built, form=form).manifest) == rows
    order = [(row["container"], paths.unescape(row["path"]), row["start"]) for row in rows]
    assert order == sorted(order)
    found = {
        (one.container, one.car_offset): one for one in find.find_path(built.catalog, "", profile=PROFILE)
    }
    assert len(found) == len(rows)
    for row in rows:
        one = found[row["container"], row["car_offset"]]
        assert row["path"] == one.path
        assert row["scan"] == one.version
        for name in ("kind", "size", "shard", "start", "length", "cid", "file_cid", "car_length"):
            assert row[name] == getattr(one, name), name
        for name in ("container", "payload_cid", "piece_cid", "current"):
            assert row[name] == getattr(one, name), name
        status = os.lstat(os.fsencode(built.target) + b"/" + paths.unescape(row["path"]).replace(b"\0", b"/"))
        assert row["mtime_ns"] == status.st_mtime_ns


def test_parquet_says_its_schema_and_types(built: Scene) -> None:
    schema = pq.read_schema(write(built).manifest)
    assert schema.metadata[b"ptolemy.schema"] == b"ptolemy-manifest/1"
    assert schema.metadata[b"ptolemy.project"] == b"p"
    assert [(f.name, str(f.type), f.nullable) for f in schema] == [
        (column.name, column.type, column.nullable) for column in COLUMNS
    ]


def test_parquet_is_written_in_groups(built: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows_of(write(built).manifest)
    monkeypatch.setattr(writers, "_ROW_GROUP", 20)
    path = write(built).manifest
    assert pq.ParquetFile(path).num_row_groups > 2
    assert rows_of(path) == whole


def test_summary_is_what_a_provider_asks_for(built: Scene) -> None:
    root, _ = build_root(built.catalog, "p", profile=PROFILE)
    written = write(built, form="csv", url="https://cars.example/{project}/{piece_cid}.car?{container}")
    summary = json.loads(Path(written.summary).read_text())
    assert summary["schema"] == "ptolemy-summary/2"
    assert summary["root"]["root_cid"] == cid.to_text(root.root_cid)
    assert summary["root"]["url"] == f"https://cars.example/p/{summary['root']['piece_cid']}.car?root"
    assert summary["manifest"] == {
        "file": "p.manifest.csv",
        "schema": "ptolemy-manifest/1",
        "rows": written.rows,
        "sha256": hashlib.sha256(Path(written.manifest).read_bytes()).hexdigest(),
    }
    with open(written.table, newline="") as file:
        table = list(csv.DictReader(file))
    for row, car, line in zip(built.cars(), summary["cars"], table, strict=True):
        data = (built.staging / car["file_name"]).read_bytes()
        assert car["sha256"] == hashlib.sha256(data).hexdigest()
        assert car["car_size"] == len(data)
        assert car["payload_cid"] == cid.to_text(row.payload_cid)
        assert car["piece_cid_v2"] == cid.to_text(row.piece_cid_v2)
        assert car["url"] == f"https://cars.example/p/{car['piece_cid']}.car?{row.number}"
        assert car.pop("stored_by") == []
        assert line.pop("stored_by") == ""
        assert line == {name: "" if value is None else str(value) for name, value in car.items()}
    assert summary["totals"]["cars"] == len(table) == written.cars
    assert summary["totals"]["car_size"] == sum(car["car_size"] for car in summary["cars"])


def test_without_url_and_root_the_summary_says_null(built: Scene) -> None:
    summary = json.loads(Path(write(built).summary).read_text())
    assert summary["root"] is None
    assert {car["url"] for car in summary["cars"]} == {None}


def test_one_cars_manifest_is_its_part_of_the_whole(built: Scene, tmp_path: Path) -> None:
    whole = rows_of(write(built).manifest)
    for car in built.cars():
        written = write(built, number=car.number, folder=str(tmp_path / "out"))
        assert Path(written.manifest).name == f"{cid.to_text(car.piece_cid_v1)}.manifest.parquet"
        assert rows_of(written.manifest) == [row for row in whole if row["container"] == car.number]
        assert [c["container"] for c in json.loads(Path(written.summary).read_text())["cars"]] == [car.number]


def test_versions_that_are_gone_stay_in_it(built: Scene) -> None:
    (built.target / "empty").unlink()
    built.scan()
    assert {row["path"]: row["current"] for row in rows_of(write(built).manifest)}["empty"] is False


def test_a_failed_write_leaves_the_older_manifest(built: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(write(built, form="jsonl").manifest)
    before = path.read_bytes()
    names = sorted(os.listdir(path.parent))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writers.os, "fsync", fail)
        with pytest.raises(StagingError, match=r"p\.manifest\.jsonl can't be written \(No space left"):
            write(built, form="jsonl")
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == names


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://x/{piece}.car", "has {piece}"),
        ("https://x/all.car", "is the same for all CARs"),
        ("https://x/{project}.car", "is the same for all CARs"),
        ("https://x/{piece_cid.__class__}", "has {piece_cid.__class__}"),
        ("https://x/{piece_cid!r}", "has {r}"),
        ("https://x/{piece_cid", "can't be read"),
        ("https://x/{}", "has {}"),
    ],
)
def test_templates_that_cannot_be_filled_are_refused(built: Scene, url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        write(built, url=url)
    assert built.in_staging() == sorted(car.file_name for car in built.cars())


def test_bad_input_is_refused(stage: Scene, built: Scene) -> None:
    with pytest.raises(SettingsError, match="format must be parquet, csv, jsonl, got 'xml'"):
        write(built, form="xml")
    with pytest.raises(StageOrderError, match="no CAR of container 99 built yet"):
        write(built, number=99)


def test_without_cars_it_says_what_to_do(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    stage.scan()
    with pytest.raises(StageOrderError, match="has no containers yet: run `ptolemy containerize p` first"):
        write(stage)
    stage.plan()
    with pytest.raises(StageOrderError, match="has no CAR built yet: run `ptolemy blitz p` first"):
        write(stage)


def script(start: str) -> str:
    """The code block of the documentation that begins so."""
    return next(
        code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if code.startswith(start)
    )


def check(tmp_path: Path, manifest: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "check_manifest.py").write_text(script("# check_manifest.py"))
    command = [sys.executable, "-I", str(tmp_path / "check_manifest.py"), manifest, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_documentations_checker_accepts_what_is_right(built: Scene, tmp_path: Path) -> None:
    written = write(built, form="csv")
    done = check(tmp_path, written.manifest, built.staging)
    assert done.stdout == f"{written.rows} rows are right\n", done.stderr


@pytest.mark.parametrize("column", ["car_offset", "car_length", "cid", "length", "data"])
def test_the_documentations_checker_finds_what_is_wrong(built: Scene, tmp_path: Path, column: str) -> None:
    path = Path(write(built, form="csv").manifest)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    victim = next(row for row in rows if row["path"] == "wide/007")
    if column == "data":
        car = built.staging / f"{victim['piece_cid']}.car"
        data = bytearray(car.read_bytes())
        data[int(victim["car_offset"]) + int(victim["car_length"]) - 1] ^= 1
        car.write_bytes(data)
    elif column == "cid":
        victim["cid"] = rows[0]["cid"]
    else:
        victim[column] = str(int(victim[column]) - 1)
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(victim))
        table.writeheader()
        table.writerows(rows)
    done = check(tmp_path, str(path), built.staging)
    assert done.returncode == 1
    assert done.stderr.startswith("wide/007: ")


def test_the_documentations_way_to_path_bytes_is_right(built: Scene) -> None:
    space: dict[str, Any] = {}
    exec(script("import re"), space)
    for row in rows_of(write(built).manifest):
        assert space["path_bytes"](row["path"]) == row["path_bytes"]


def test_the_documentation_names_all_columns() -> None:
    text = DOCS.read_text()
    named = re.findall(r"^\| ([a-z0-9_, ]+) \| (?:text|bytes|integer|true)", text, re.M)
    assert [name for cell in named for name in cell.split(", ")] == [column.name for column in COLUMNS]
