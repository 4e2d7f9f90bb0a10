"""What a run's configuration can't do: read the server's environment, name another catalog, leave the roots."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._config import ConfigTypeKind

from ptolemy_core.catalog import projects
from ptolemy_core.errors import SettingsError, UnknownProjectError
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.roots import OutsideRootsError, environment_roots, set_environment
from tests.pipeline.backend import Backend, failure_of, in_process, materialize_car

SECRET = "postgresql://ptolemy:hunter2@10.1.2.3/catalog"


def scalars(kind: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All fields of a configuration's schema, with their kind."""
    if kind.kind in (ConfigTypeKind.STRICT_SHAPE, ConfigTypeKind.SELECTOR):
        for name, field in kind.fields.items():
            yield from scalars(field.config_type, f"{path}/{name}")
    elif kind.kind in (ConfigTypeKind.ARRAY, ConfigTypeKind.NONEABLE, ConfigTypeKind.MAP):
        yield from scalars(kind.inner_type, path)
    else:
        yield path, kind.kind.value


JOBS = [job.name for job in defs.resolve_all_job_defs()]


@pytest.mark.parametrize("job", JOBS)
def test_no_field_of_any_job_takes_its_value_from_the_environment(job: str) -> None:
    found = dict(scalars(defs.resolve_job_def(job).run_config_schema.config_type))
    assert found
    assert {path: kind for path, kind in found.items() if kind == "SCALAR_UNION"} == {}
    assert not [path for path in found if path.startswith("/resources/")]


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("create", {"ops": {"define_project": {"config": {"name": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        ("create", {"ops": {"define_project": {"config": {"shard_size": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        ("create", {"ops": {"define_project": {"config": {"watch": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        ("create", {"ops": {"define_project": {"config": {"include": [{"env": "PTOLEMY_TEST_SECRET"}]}}}}),
        ("scan", {"resources": {"catalog": {"config": {"url": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        ("scan", {"resources": {"catalog": {"config": {"url": "sqlite:////tmp/elsewhere.db"}}}}),
        ("blitz", {"resources": {"builder": {"config": {"threads": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        ("onboard", {"ops": {"manifest": {"config": {"url": {"env": "PTOLEMY_TEST_SECRET"}}}}}),
        (
            "verify",
            {"ops": {"built_cars_cars_verify": {"config": {"again": {"env": "PTOLEMY_TEST_SECRET"}}}}},
        ),
    ],
)
def test_the_check_of_a_configuration_shows_nothing_of_the_environment(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch, job: str, config: dict[str, Any]
) -> None:
    monkeypatch.setenv("PTOLEMY_TEST_SECRET", SECRET)
    whole = {"name": "echo", "target_dir": str(sqlite.folder()), "staging_dir": str(sqlite.staging())}
    if job == "create":
        config["ops"]["define_project"]["config"] = whole | config["ops"]["define_project"]["config"]
    with sqlite.instance() as instance, pytest.raises(dg.DagsterInvalidConfigError) as refused:
        defs.resolve_job_def(job).execute_in_process(
            run_config=config, instance=instance, tags={"dagster/partition": "delta"}
        )
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UnknownProjectError):
        projects.get(sqlite.catalog, "echo")


def test_a_model_of_other_fields_has_no_plain_schema() -> None:
    class Odd(dg.Config):
        """A field that nobody thought of."""

        table: dict[str, int]

    with pytest.raises(TypeError, match="table is of type"):
        plain(Odd)


@pytest.fixture
def rooted(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A home whose projects may use the folder `allowed` alone."""
    (sqlite.root / "allowed").mkdir()
    monkeypatch.setenv("PTOLEMY_ROOTS", str(sqlite.root / "allowed"))
    return sqlite


def test_job_create_refuses_folders_outside_the_roots(rooted: Backend) -> None:
    settings = {"name": "delta", "target_dir": str(rooted.folder()), "staging_dir": str(rooted.staging())}
    with rooted.instance() as instance:
        result = defs.resolve_job_def("create").execute_in_process(
            run_config={"ops": {"define_project": {"config": settings}}},
            instance=instance,
            raise_on_error=False,
        )
        assert not result.success
        assert "is outside the folders that may be used here" in failure_of(result)
        assert not instance.get_dynamic_partitions("projects")
    with pytest.raises(UnknownProjectError):
        projects.get(rooted.catalog, "delta")


def test_other_ways_of_creating_a_project_refuse_them_too(rooted: Backend) -> None:
    with pytest.raises(OutsideRootsError):  # what the command line, the API and the job call
        rooted.define()
    rooted.define(target=rooted.folder("allowed/data"), staging_dir=str(rooted.root / "allowed" / "cars"))
    assert projects.names(rooted.catalog) == ["delta"]


@pytest.mark.parametrize("job", ["scan", "blitz", "verify", "root", "onboard"])
def test_a_run_on_a_project_outside_the_roots_fails_before_any_work(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    sqlite.define()
    with sqlite.instance() as instance:
        for before in ("scan", "containerize", "blitz"):
            in_process(before, "delta", instance)
        (sqlite.root / "allowed").mkdir()
        monkeypatch.setenv("PTOLEMY_ROOTS", str(sqlite.root / "allowed"))
        result = in_process(job, "delta", instance, raise_on_error=False)
        assert not result.success
        assert "use a folder below" in failure_of(result)
        if job == "blitz":
            assert "use a folder below" in failure_of(materialize_car(0, instance))


def test_roots_are_handed_to_other_processes_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PTOLEMY_ROOTS", "/tmp")
    set_environment([str(tmp_path), "/usr"])
    assert environment_roots() == (str(tmp_path.resolve()), "/usr")
    set_environment([])
    assert environment_roots() == ()
    with pytest.raises(SettingsError, match="the separator of roots"):
        set_environment([f"{tmp_path}/a:b"])
