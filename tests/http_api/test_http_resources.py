"""Projects, plan, CARs, files and workers over HTTP."""

import json
import os
import time
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from ptolemy_core.catalog import progress
from ptolemy_core.catalog.workers import Heartbeat, list_workers
from tests.http_api.client import Api
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files


def seconds(text: str) -> float:
    """The time of an answer, which is in UTC, as seconds since 1970."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text).timestamp()


def build(backend: Backend, project: str = "delta", *jobs: str) -> None:
    with backend.instance() as instance:
        for job in jobs or ("scan", "containerize", "blitz"):
            assert in_process(job, project, instance).success


def test_create_takes_text_numbers_and_the_same_body_gets_the_same_answer(both: Api) -> None:
    first = both.create(shard_size="1", car_size="2")
    assert (first["name"], first["shard_size"], first["car_size"]) == ("delta", 1, 2)
    assert "car_size=2 makes 4 GiB pieces" in first["warning"]
    assert both.create() == first
    listed = {"project": "delta", "status": "defined", "reason": None}
    assert both.get("/v0/projects/") == [first | listed]
    with both.backend.instance() as instance:
        assert instance.get_dynamic_partitions("projects") == ["delta"]


def test_the_same_create_is_answered_the_same_when_the_folder_is_away(api: Api) -> None:
    first = api.create()
    (api.backend.root / "data").rename(api.backend.root / "unmounted")
    body = api.settings()
    (api.backend.root / "data" / "a.txt").unlink()
    assert api.post("/v0/create/delta/", 200, body) == first


def test_another_body_for_a_project_that_is_there_is_refused(api: Api) -> None:
    api.create()
    said = api.problem("/v0/create/delta", 409, "POST", json=api.settings(car_size=7))
    assert "project 'delta' already exists, with car_size 2, not 7" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"car_size": 64}, "car_size must be 1 to 31 GiB, got 64: a 32 GiB piece holds at most 31.75 GiB"),
        ({"car_size": "two"}, "car_size must be whole GiB from 1 to 31, got 'two'"),
        ({"shard_size": 0}, "shard_size must be 1 to 31 GiB, got 0; use shard_size=1"),
        ({"shard_size": 9}, "shard_size 9 GiB is larger than car_size 2 GiB"),
        ({"encryption": "a b"}, 'encryption must be "None" or the alias of a key'),
        ({"load_type": "slow"}, "load_type must be"),
        ({"target_dir": "data"}, "target_dir must be an absolute path, got 'data'"),
        ({"target_dir": "/nowhere/at/all"}, "target_dir '/nowhere/at/all' isn't a folder"),
        ({"target_dir": "/a\0b"}, "target_dir contains a NUL character"),
        ({"target_dir": "/a\udcffb"}, "isn't UTF-8"),
        ({"target_dir": ["/data"]}, "target_dir"),
        ({"name": "echo"}, "name is not a setting here"),
        ({"nonsense": 1}, "nonsense is not a setting"),
    ],
)
def test_bad_settings_name_value_limit_and_remedy(api: Api, settings: Any, message: str) -> None:
    body = api.settings(**settings)
    said = api.problem("/v0/create/delta", 422, "POST", content=json.dumps(body))
    assert message in said
    assert api.get("/v0/projects") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 5000, b"\xff", b'{"car_size": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_json_is_400(api: Api, body: bytes) -> None:
    assert "isn't JSON" in api.problem("/v0/create/delta", 400, "POST", content=body)


def test_a_setting_that_is_there_twice_is_refused(api: Api) -> None:
    body = json.dumps(api.settings())[:-1] + ', "car_size": 3}'
    said = api.problem("/v0/create/delta", 422, "POST", content=body)
    assert said == "'car_size' is in the body more than once: give it once"


@pytest.mark.parametrize("path", ["restore/delta", "release"])
def test_every_body_is_read_as_json_whatever_it_claims_to_be(api: Api, path: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}  # as curl's -d sends it

    def refused(status: int, body: str) -> str:
        return api.problem(f"/v0/{path}", status, "POST", content=body, headers=form)

    assert " is missing" in refused(422, "{}")
    assert "note must be text, got 5" in refused(422, '{"cars": ["delta/0"], "note": 5}') or path != "release"
    assert "must be a JSON object" in refused(422, "[1]")
    assert "the body isn't JSON: " in refused(400, "a=b")
    assert "nested too deeply" in refused(400, "[" * 30_000)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_422(api: Api, body: bytes) -> None:
    assert "must be a JSON object" in api.problem("/v0/create/delta", 422, "POST", content=body)


def test_a_missing_setting_is_named(api: Api) -> None:
    assert (
        api.problem("/v0/create/delta", 422, "POST", json={})
        == "target_dir is missing; staging_dir is missing"
    )


@pytest.mark.parametrize("name", ["-x", "a b", "a" * 64, "a.b", "%ff", "a%00b", "d%C3%A9j%C3%A0"])
def test_a_name_that_can_be_no_project_is_422(api: Api, name: str) -> None:
    assert "project" in api.problem(f"/v0/projects/{name}", 422)


@pytest.mark.parametrize(
    "path",
    ["projects/nemo", "carfile_meta/nemo", "carfile_meta/nemo/0", "plan/nemo", "files?path=a&project=nemo"],
)
def test_an_unknown_project_is_404(api: Api, path: str) -> None:
    api.create()
    assert api.problem(f"/v0/{path}", 404) == "no project 'nemo': create it first (projects: delta)"


def test_status_plan_and_cars_follow_the_stages(both: Api) -> None:
    both.create()
    assert both.get("/v0/projects/delta")["status"] == "defined"
    assert both.get("/v0/plan/delta") == both.get("/v0/carfile_meta/delta") == []
    build(both.backend)
    (planned,) = both.get("/v0/plan/delta")
    (car,) = both.get("/v0/carfile_meta/delta/")
    assert planned["built"]
    assert {name: car[name] for name in ("number", "size", "padded_size", "items", "data_bytes")} == {
        name: planned[name] for name in ("number", "size", "padded_size", "items", "data_bytes")
    }
    assert planned["padding"] == planned["padded_size"] // 128 * 127 - planned["size"]
    assert car["file_name"] == f"{car['commp']}.car"
    assert car["payload_cid"].startswith("bafy")
    assert car["commp"].startswith("baga6ea4seaq")
    assert car["piece_cid_v2"].startswith("bafkzcib")
    assert (both.backend.staging() / car["file_name"]).stat().st_size == car["size"]
    assert time.time() - 600 < seconds(car["built_at"]) <= time.time()
    names = ("container", "piece_cid", "car_size", "piece_size")
    assert [car[name] for name in names] == [car[name] for name in ("number", "commp", "size", "padded_size")]
    assert both.get("/v0/carfile_meta/delta/0") == car
    assert "no CAR 1 built" in both.problem("/v0/carfile_meta/delta/1", 404)
    status = both.get("/v0/projects/delta")
    assert status["status"] == "blitz complete"
    assert status["run_url"] == f"http://127.0.0.1:3000/runs/{status['run_id']}"
    assert status["cars"] == {
        "planned": 1,
        "built": 1,
        "verified": 0,
        "delivered": 0,
        "bytes_done": car["size"],
        "bytes_total": car["size"],
        "bytes_per_second": None,
        "seconds_left": None,
    }


def test_progress_shows_bytes_rate_and_time_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create()
    plan_small(api.backend.catalog, "delta", 6000)
    (planned,) = api.get("/v0/plan/delta")
    now = time.time()
    monkeypatch.setattr(progress.time, "time", lambda: now - 10)
    task = progress.Task(progress.Work.BUILD, 0)
    with progress.Reporter(api.backend.catalog, "delta", task, planned["size"]) as reporter:
        monkeypatch.setattr(progress.time, "time", lambda: now)
        reporter._written = 0
        reporter.advance(1000)
        answer = api.get("/v0/projects/delta")
    (task,) = answer["tasks"]
    assert (task["task"], task["unit"], task["done"]) == ("build 000000", "bytes", 1000)
    assert task["per_second"] == pytest.approx(100)
    assert answer["cars"]["bytes_done"] == 1000
    assert answer["cars"]["bytes_per_second"] == pytest.approx(100)
    assert answer["cars"]["seconds_left"] == pytest.approx((planned["size"] - 1000) / 100)


def test_lists_come_in_pages_that_the_header_link_leads_through(both: Api) -> None:
    folder = both.backend.folder("many", tiny_files(7))
    for name in ("delta", "echo", "foxtrot"):
        both.create(name, target_dir=str(folder), staging_dir=str(both.backend.staging(name)))
    plan_small(both.backend.catalog, "delta", 3100)
    build(both.backend, "delta", "blitz")
    for path, key, expected in (
        ("/v0/carfile_meta/delta?limit=3", "number", list(range(7))),
        ("/v0/plan/delta?limit=3", "number", list(range(7))),
        ("/v0/projects?limit=2", "name", ["delta", "echo", "foxtrot"]),
        ("/v0/files?path=&project=delta&limit=2", "path", sorted(tiny_files(7))),
    ):
        found: list[Any] = []
        following: str | None = path
        pages = 0
        while following is not None:
            answer = both.http.get(following)
            found += [row[key] for row in answer.json()]
            following = answer.links["next"]["url"] if "next" in answer.links else None
            pages += 1
        assert found == expected
        assert pages > 1


@pytest.mark.parametrize(
    "path",
    [
        "carfile_meta/delta?limit=0",
        "plan/delta?limit=10001",
        "plan/delta?cursor=x",
        "files",
        "files?path=a&cid=b",
        "files?path=%00",
        "files?path=a%5Cx00b",
    ],
)
def test_bad_queries_are_422(api: Api, path: str) -> None:
    api.create()
    api.problem(f"/v0/{path}", 422)


AWKWARD = (
    b'it\'s "quoted".txt',
    b"two\nlines.txt",
    b"not utf-8 \xff\xfe.txt",
    b"back\\slash \\xff.txt",
    b"100%_*?[a].txt",
    "zażółć.txt".encode(),
)


def test_any_name_is_shown_and_asked_for_again(both: Api) -> None:
    folder = both.backend.folder("awkward", {})
    for name in AWKWARD:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(b"data of " + name)
    both.create(target_dir=str(folder))
    build(both.backend)
    shown = both.get("/v0/files?path=")
    assert len({row["path"] for row in shown}) == len(AWKWARD)
    for row in shown:
        assert both.get(f"/v0/files?path={quote(row['path'])}") == [row]
        assert both.get(f"/v0/files?cid={row['cid']}&project=delta") == [row]
    # the raw bytes, percent-encoded, mean the same where no backslash is in them
    (row,) = both.get(f"/v0/files?path={quote(AWKWARD[2])}")
    assert row["path"] == "not utf-8 \\xff\\xfe.txt"
    assert row["size"] == len(AWKWARD[2]) + 8


def test_nothing_in_a_path_is_a_pattern_or_sql(api: Api) -> None:
    api.create()
    build(api.backend, "delta", "scan")
    for text in ("%", "_.txt", "*", "?.txt", "[a].txt", "a%", "' OR 1=1 --", "$(id)", "../a.txt"):
        assert "no file or CID matches" in api.problem(f"/v0/files?path={quote(text)}", 404)
    assert "is not a valid escaped path" in api.problem("/v0/files?path=a%5Cb", 422)
    assert "not a CID" in api.problem("/v0/files?cid=nonsense", 422)
    assert "no file or CID matches" in api.problem("/v0/files?cid=bafkqaaa", 404)


def test_workers_are_listed_with_their_heartbeat(both: Api) -> None:
    assert both.get("/v0/workers") == []
    with Heartbeat(both.backend.catalog) as heartbeat, heartbeat.building("delta", 3):
        deadline = time.monotonic() + 60
        while not list_workers(both.backend.catalog) and time.monotonic() < deadline:
            time.sleep(0.01)
        (worker,) = both.get("/v0/workers/")
    assert worker["pid"] == os.getpid()
    assert worker["lost"] is False
    assert abs(seconds(worker["heartbeat_at"]) - time.time()) < 60


def test_health_and_documentation_need_no_project(api: Api) -> None:
    assert api.get("/health") == {"status": "ok"}
    page = api.http.get("/docs/")
    assert page.status_code == 200
    assert "POST /v0/create/{project}" in page.text
    assert "car_size must be 1 to 31 GiB, got 64" in page.text  # examples of problems too
    assert "<script" not in page.text
