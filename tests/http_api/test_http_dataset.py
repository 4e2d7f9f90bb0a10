"""Over HTTP: a project changed, renamed and removed; its root, manifest and skipped entries; release; metrics."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from ptolemy_core.catalog import projects
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.http.metrics import Metric
from ptolemy_dagster.http.settings import ApiSettings
from tests.http_api.client import Api, in_process, told
from tests.http_api.test_http_pages import built
from tests.pipeline.backend import Backend
from tests.pipeline.backend import in_process as run

ROOT = Path(__file__).parents[2]


def test_settings_change_and_others_are_refused(api: Api) -> None:
    api.create()
    answer = api.http.patch("/v0/projects/delta", json={"exclude": ["*.tmp"], "max_loss": 10})
    assert told(answer, 200)["exclude"] == ["*.tmp"]
    assert projects.get(api.backend.catalog, "delta").max_loss == 10
    assert "car_size of a project can't be changed" in api.problem(
        "/v0/projects/delta", 422, "PATCH", json={"car_size": 3}
    )
    assert "max_loss must be" in api.problem("/v0/projects/delta", 422, "PATCH", json={"max_loss": 101})
    assert "no project 'nemo'" in api.problem("/v0/projects/nemo", 404, "PATCH", json={})


def test_a_new_name_goes_alone_so_that_nothing_is_changed_by_half(api: Api) -> None:
    api.create()
    api.create("echo")
    both = {"name": "echo", "exclude": ["*.tmp"]}
    assert "a new name goes alone" in api.problem("/v0/projects/delta", 422, "PATCH", json=both)
    assert projects.get(api.backend.catalog, "delta").exclude == ()
    same = api.http.patch("/v0/projects/delta", json={"name": "delta", "exclude": ["*.tmp"]})
    assert told(same, 200)["exclude"] == ["*.tmp"]


def test_folders_move_only_to_the_same_data(api: Api) -> None:
    built(api)
    new = api.backend.root / "new"
    shutil.copytree(api.backend.root / "data", new)
    os.utime(new / "a.txt", (1, 1))
    body = {"target_dir": str(new)}
    said = api.problem("/v0/projects/delta", 409, "PATCH", json=body)
    assert "1 entry has another size or modification time" in said
    assert told(api.http.patch("/v0/projects/delta?accept_loss=true", json=body), 200)["target_dir"] == str(
        new
    )


def test_a_project_is_renamed_and_removed(api: Api) -> None:
    built(api)
    assert told(api.http.patch("/v0/projects/delta", json={"name": "gamma"}), 200)["name"] == "gamma"
    dry = told(api.http.delete("/v0/projects/gamma?dry_run=true&cars=true"), 200)
    assert (dry["removed"], len(dry["files"])) == (False, 2)
    assert told(api.http.delete("/v0/projects/gamma"), 200)["removed"] is True
    assert api.get("/v0/projects") == []
    assert list(api.backend.staging().glob("*.car"))
    api.problem("/v0/projects/gamma", 404, "DELETE")


def test_a_project_under_way_is_not_removed(api: Api) -> None:
    api.create()
    api.post("/v0/scan/delta")
    assert "scan of project 'delta' is under way" in api.problem("/v0/projects/delta", 409, "DELETE")


def test_a_stage_that_is_asked_for_while_the_one_before_it_runs_says_so(api: Api) -> None:
    api.create()
    api.post("/v0/scan/delta")
    said = api.problem("/v0/containerize/delta", 409, "POST")
    assert "scan of project 'delta' is queued, and containerize needs it: wait for it" in said
    assert "needs it" not in api.problem("/v0/scan/delta", 409, "POST")


def test_root_manifest_and_skipped_entries_are_answered(api: Api) -> None:
    api.create()
    assert "has no root yet" in api.problem("/v0/root/delta", 404)
    assert "has no manifest yet" in api.problem("/v0/manifest/delta", 404)
    os.mkfifo(api.backend.root / "data" / "pipe")
    with api.backend.instance() as instance:
        assert run("onboard", "delta", instance).success
    root = api.get("/v0/root/delta")
    assert root["root_cid"].startswith("bafy")
    (skipped,) = api.get("/v0/skipped/delta")
    assert (skipped["path"], skipped["stage"]) == ("pipe", "scan")
    written = told(api.http.post("/v0/manifest/delta?format=csv"), 200)
    answer = api.http.get("/v0/manifest/delta")
    assert answer.content == Path(written["manifest"]).read_bytes()
    assert answer.headers["content-type"].startswith("text/csv")
    assert api.get("/v0/manifest/delta/summary")["totals"]["cars"] == 1
    assert api.http.get("/v0/car/delta/root").status_code == 200
    assert "format must be" in api.problem("/v0/manifest/delta?format=xml", 422, "POST")


def test_cars_are_released_over_http(api: Api) -> None:
    built(api)
    body = {"cars": ["delta/0", "delta/root"], "note": "cold"}
    car, root = api.post("/v0/release", 200, body)
    assert (car["delivered_to"], root["delivered_to"]) == ("cold", "cold")
    assert api.post("/v0/release", 200, {"cars": ["delta/0"], "undo": True})[0]["delivered_at"] is None
    assert "no built CAR" in api.problem("/v0/release", 409, "POST", json={"cars": ["delta/9"]})
    assert api.http.post("/v0/release", json={"cars": []}).status_code == 422
    mixed = {"cars": ["delta/0"], "undo": True, "remove": True}
    assert "can't be combined" in api.problem("/v0/release", 422, "POST", json=mixed)


_LINE = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+')


def test_metrics_say_how_projects_are_and_are_well_formed(api: Api) -> None:
    built(api)
    api.backend.define("other", target=api.backend.folder("more", {"x": b"x"}))
    answer = api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert all(line.startswith("#") or _LINE.fullmatch(line) for line in lines)
    assert 'ptolemy_projects{state="blitz complete"} 1' in lines
    assert 'ptolemy_project_built_cars{project="delta"} 1' in lines
    assert 'ptolemy_project_failed{project="other"} 0' in lines
    assert 'ptolemy_runs{state="queued"} 0' in lines


def test_a_label_is_escaped_as_prometheus_reads_it() -> None:
    metric = Metric("m", "help")
    metric.add(1, a='x"\\\n')
    assert list(metric.lines())[-1] == 'm{a="x\\"\\\\\\n"} 1'


def test_the_dashboard_shows_metrics_that_there_are(api: Api) -> None:
    built(api)
    names = set(re.findall(r"^# TYPE (\w+)", api.http.get("/metrics").text, re.M))
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "ptolemy.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        for name in re.findall(r"ptolemy_\w+", target["expr"])
    }
    assert asked <= names
    assert len(asked) > 8
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    scrape = yaml.safe_load((ROOT / "deploy" / "grafana" / "prometheus.yml").read_text())
    assert scrape["scrape_configs"][0]["job_name"] == "ptolemy"


@pytest.mark.parametrize("path", ["/v0/skipped/nemo", "/v0/root/nemo", "/v0/manifest/nemo", "/v0/car/nemo/0"])
def test_an_unknown_project_is_404(api: Api, path: str) -> None:
    assert "no project 'nemo'" in api.problem(path, 404)


def test_a_restore_is_launched_and_brings_files_back(api: Api) -> None:
    built(api)
    to = api.backend.root / "back"
    body = {"to": str(to), "paths": ["b"]}
    launched = api.post("/v0/restore/delta", 202, body)
    run_id = launched["run_id"]
    queued = api.dagster.instance.get_run_by_id(run_id)
    assert queued is not None
    assert api.get(f"/v0/runs/{run_id}")["stage"] == "restore"
    with api.backend.instance() as instance:
        done = defs.resolve_job_def("restore").execute_in_process(
            run_config=dict(queued.run_config), partition_key="delta", instance=instance
        )
    assert done.success
    assert (to / "b" / "c.bin").read_bytes() == bytes(5000)
    assert not (to / "a.txt").exists()


@pytest.mark.parametrize("to", ["relative", "/a\0b", ""])
def test_a_restore_to_no_folder_is_refused(api: Api, to: str) -> None:
    api.create()
    assert api.http.post("/v0/restore/delta", json={"to": to}).status_code == 422


def test_a_restore_outside_the_roots_is_refused(sqlite: Backend) -> None:
    sqlite.define()
    with in_process(sqlite, ApiSettings(rate=0, roots=(str(sqlite.root),))) as api:
        assert "is outside the folders" in api.problem("/v0/restore/delta", 403, "POST", json={"to": "/etc"})
