"""Jobs through Dagster's own command line, in processes of their own, on SQLite and on Postgres."""

import json

import dagster as dg
import pytest

from ptolemy_core.catalog import projects
from ptolemy_core.stages.order import Stage, Until
from ptolemy_dagster.definitions import defs
from tests.pipeline.backend import MODULE, Backend, plan_small, tiny_files


def test_job_onboard_builds_and_verifies_the_cars_of_a_partition(backend: Backend) -> None:
    backend.define()
    backend.execute("onboard")
    assert backend.last_run().status == dg.DagsterRunStatus.SUCCESS
    assert len(backend.cars()) == 1
    assert backend.staged() == backend.cars().keys()
    with backend.instance() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("car")) == {"delta|000000"}
        for asset in ("scan_result", "container_plan", "built_cars"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {"delta"}


@pytest.mark.parametrize("until", list(Until))
def test_a_job_that_ends_after_a_stage_has_the_steps_of_all_stages_up_to_it(until: Until) -> None:
    steps = {
        Stage.SCAN: ["scan_result"],
        Stage.CONTAINERIZE: ["container_plan", "container_plan_plan_covers_scan"],
        Stage.BLITZ: ["built_cars"],
        Stage.VERIFY: ["built_cars_cars_verify"],
        Stage.ROOT: ["dataset_root"],
        Stage.MANIFEST: ["manifest"],
    }
    graph = defs.resolve_job_def(until.job).graph
    assert set(graph.node_dict) == {step for stage in until.stages for step in steps[stage]}


@pytest.mark.slow
def test_stage_jobs_one_after_the_other_do_what_onboard_does(backend: Backend) -> None:
    target = backend.folder(files=tiny_files(3))
    backend.define("delta", target)
    backend.define("echo", target)
    for project in ("delta", "echo"):
        plan_small(backend.catalog, project, 3100)
    backend.execute("onboard", "delta")
    for job in ("scan", "containerize", "blitz", "verify"):
        backend.execute(job, "echo")
    assert len(backend.cars("delta")) == 3
    assert backend.cars("delta") == backend.cars("echo")


def test_asset_materialize_takes_assets_and_a_partition(backend: Backend) -> None:
    backend.define()
    for assets in ("scan_result", "container_plan,built_cars"):
        backend.run("dagster", "asset", "materialize", *MODULE, "--select", assets, "--partition", "delta")
    assert backend.staged() == backend.cars().keys() != set()


def test_job_create_defines_a_project_from_its_config(backend: Backend) -> None:
    target = backend.folder()
    settings = {
        "name": "delta",
        "target_dir": str(target),
        "staging_dir": str(backend.staging()),
        "car_size": 7,
        "exclude": ["*.tmp", "cache/"],
        "watch": True,
    }
    config = backend.root / "create.yaml"
    arguments = ("dagster", "job", "execute", *MODULE, "-j", "create", "--config", str(config))
    config.write_text(json.dumps({"ops": {"define_project": {"config": settings}}}))
    backend.run(*arguments)
    backend.run(*arguments)  # the same again changes nothing
    made = projects.get(backend.catalog, "delta")
    assert (made.car_size, made.exclude, made.watch, made.auto) == (7, ("*.tmp", "cache/"), True, False)
    with backend.instance() as instance:
        assert instance.get_dynamic_partitions("projects") == ["delta"]
    wrong = settings | {"name": "echo", "car_size": 64}
    config.write_text(json.dumps({"ops": {"define_project": {"config": wrong}}}))
    refused = backend.run(*arguments, check=False)
    assert refused.returncode != 0
    assert "car_size must be 1 to 31 GiB, got 64" in refused.stdout + refused.stderr
    assert projects.names(backend.catalog) == ["delta"]


@pytest.mark.slow
def test_the_number_of_build_processes_does_not_change_the_cars(sqlite: Backend) -> None:
    target = sqlite.folder(files=tiny_files(6))
    built = {}
    for processes in ("1", "2"):
        project = f"with{processes}"
        sqlite.define(project, target)
        plan_small(sqlite.catalog, project, 3100)
        sqlite.execute("blitz", project, env={"PTOLEMY_BUILD_PROCESSES": processes})
        built[processes] = {
            name: (sqlite.staging(project) / name).read_bytes() for name in sqlite.cars(project)
        }
    assert len(built["1"]) == 6
    assert built["1"] == built["2"]


def test_a_partition_that_is_no_project_is_refused(sqlite: Backend) -> None:
    refused = sqlite.execute("onboard", "nemo", check=False)
    assert refused.returncode != 0
    assert "no project 'nemo': create it first" in refused.stderr
    assert sqlite.last_run().status == dg.DagsterRunStatus.FAILURE
