"""A clean home of Ptolemy on SQLite or Postgres, with what tests do in it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from ptolemy_core.catalog import Catalog, cars, container_plan, projects, roots
from ptolemy_core.catalog.container_plan import PlannedItems
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.layout.plan import plan, split
from ptolemy_core.project import parse_project
from ptolemy_core.stages.scan import scan
from ptolemy_dagster import partitions
from ptolemy_dagster.assets.cars import car
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.partitions import car_key
from ptolemy_dagster.resources import Builder, CatalogResource

REPOSITORY = Path(__file__).parents[2]
MODULE = ("-m", "ptolemy_dagster.definitions")


@dataclass(frozen=True)
class Backend:
    """A home in a temporary folder; `env` makes it the home of subprocesses."""

    root: Path
    env: Mapping[str, str]

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog that the environment names."""
        return Catalog()

    def close(self) -> None:
        """Close the catalog, if it was opened."""
        if "catalog" in vars(self):
            self.catalog.engine.dispose()

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's instance of the home."""
        with dg.DagsterInstance.from_config(self.env["DAGSTER_HOME"]) as instance:
            yield instance

    def folder(self, name: str = "data", files: Mapping[str, bytes] | None = None) -> Path:
        """A source folder with these files."""
        path = self.root / name
        for file, data in (
            files if files is not None else {"a.txt": b"alpha", "b/c.bin": bytes(5000)}
        ).items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(data)
        path.mkdir(exist_ok=True)
        return path

    def staging(self, project: str = "delta") -> Path:
        """The staging folder of a project."""
        return self.root / "staging" / project

    def define(
        self, project: str = "delta", target: Path | None = None, instance: Any = None, **settings: Any
    ) -> None:
        """Define a project over a folder, and register its partition."""
        new = {
            "name": project,
            "target_dir": str(target or self.folder()),
            "staging_dir": str(self.staging(project)),
            "car_size": 1,
            "car_sha256": True,  # so that tests see whether two CARs are the same bytes
        }
        parsed = parse_project(new | settings)
        if instance is not None:
            partitions.define(self.catalog, instance, parsed)
            return
        with self.instance() as own:
            partitions.define(self.catalog, own, parsed)

    def run(
        self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run `python -m ...` to its end in this home; with `check` it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env={**self.env, **(env or {})},
            cwd=self.root,
            text=True,
            errors="surrogateescape",
            capture_output=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def execute(
        self, job: str, project: str = "delta", *, check: bool = True, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """`dagster job execute` of a job on a project's partition."""
        return self.run(*execute_arguments(job, project), check=check, env=env)

    def last_run(self) -> dg.DagsterRun:
        """The run that was created last."""
        with self.instance() as instance:
            return instance.get_runs(limit=1)[0]

    def cars(self, project: str = "delta") -> dict[str, bytes]:
        """sha256 of each built CAR by its file name."""
        return {row.file_name: row.sha256 for row in cars.rows(self.catalog, project)}

    def staged(self, project: str = "delta") -> set[str]:
        """Names of CARs in the staging folder, partial files too; not what stands above the CARs."""
        above = {row.file_name for row in roots.rows(self.catalog, project)} | {"manifests"}
        return {path.name for path in self.staging(project).iterdir()} - above


def execute_arguments(job: str, project: str, **tags: str) -> list[str]:
    """Arguments of `python` that execute a job in the foreground."""
    pairs = {"dagster/partition": project} | {key.replace("__", "/"): value for key, value in tags.items()}
    text = ", ".join(f'"{key}": "{value}"' for key, value in pairs.items())
    return ["dagster", "job", "execute", *MODULE, "-j", job, "--tags", "{" + text + "}"]


def plan_small(catalog: Catalog, project: str, car_bytes: int) -> int:
    """Scan a project and plan containers of a few bytes, which no setting offers; returns how many."""
    settings = projects.get(catalog, project)
    scan(catalog, project)
    with catalog.write() as connection:
        found = connection.execute(container_plan.unplanned(connection, project)).all()
        count = len(found)
        files = Items(
            [bytes(row.path) for row in found],
            np.array([row.kind for row in found], dtype=np.int8),
            np.array([row.size for row in found], dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.full(count, WHOLE, dtype=np.int32),
        )
        items, origin = split(files, settings.shard_bytes())
        planned = plan(items, car_bytes)
        ids = np.array([row.id for row in found], dtype=np.int64)
        container_plan.save(connection, project, planned, [PlannedItems(items, ids[origin])])
    return len(planned)


def tiny_files(count: int, size: int = 3000) -> dict[str, bytes]:
    """Files of different content: with `plan_small(..., size + 100)` a container each."""
    return {f"{number:03d}.bin": number.to_bytes(4, "big") * (size // 4) for number in range(count)}


def in_process(
    job: str, partition: str, instance: dg.DagsterInstance, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    """Execute a job within this process."""
    tags = {"dagster/partition": partition}  # as a launch does; a job of checks alone takes no partition_key
    return defs.resolve_job_def(job).execute_in_process(
        tags=tags, instance=instance, raise_on_error=raise_on_error
    )


def materialize_car(number: int | str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialize asset `car` of one partition."""
    return dg.materialize(
        [car],
        partition_key=car_key("delta", number) if isinstance(number, int) else number,
        instance=instance,
        resources={"catalog": CatalogResource(), "builder": Builder()},
        raise_on_error=False,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the one step that failed said."""
    (event,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    data = event.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)


def environment(root: Path, url: str | None) -> dict[str, str]:
    """The environment of a home below `root`, on Postgres if there is a URL."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("PTOLEMY_", "DAGSTER_", "PG"))
    }
    env["DAGSTER_HOME"] = str(root / "home")
    env["PTOLEMY_BUILD_PROCESSES"] = "2"
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), env.get("PYTHONPATH")]))
    env["PYTHONWARNINGS"] = "ignore"
    env["COLUMNS"] = "200"
    if url:
        env["PTOLEMY_PG_URL"] = url
    return env
