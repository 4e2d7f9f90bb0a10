"""Addresses of schedulers, and what a machine must reach before it is taken as a worker."""

import time
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog.workers import list_workers
from ptolemy_core.errors import SettingsError
from ptolemy_core.stages import batch
from ptolemy_dagster.machines.settings import parse_address, scheduler_address
from ptolemy_dagster.machines.worker import check_machine
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files
from tests.pipeline.fixtures import sqlite

__all__ = ["sqlite"]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("tcp://10.1.2.3:9000", "tcp://10.1.2.3:9000"),
        ("tcp://host", "tcp://host:8786"),
        ("host", "tcp://host:8786"),
        ("host:9000", "tcp://host:9000"),
        ("tls://host:9000", "tls://host:9000"),
        ("tcp://[::1]", "tcp://[::1]:8786"),
        ("[fe80::1]:9000", "tcp://[fe80::1]:9000"),
    ],
)
def test_an_address_is_completed(given: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_SCHEDULER", given)
    assert scheduler_address() == parse_address(given, "x") == address


@pytest.mark.parametrize("wrong", ["http://host:80", "tcp://", "tcp://host:port", ":8786", "tcp://host/x:1"])
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_SCHEDULER", wrong)
    with pytest.raises(SettingsError, match=r"PTOLEMY_SCHEDULER must look like tcp://HOST:8786, got '"):
        scheduler_address()


def test_without_the_setting_there_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_SCHEDULER", "")
    assert scheduler_address() is None


def test_a_worker_needs_the_common_database(sqlite: Backend) -> None:
    with pytest.raises(SettingsError, match="set PTOLEMY_PG_URL to the same Postgres"):
        check_machine(sqlite.catalog)


def test_a_worker_needs_the_folders_of_projects_that_are_not_built(home: Backend, tmp_path: Path) -> None:
    home.define("delta", home.folder("a"))
    home.define("echo", home.folder("b"))
    check_machine(home.catalog)
    home.folder("a").rename(tmp_path / "elsewhere")
    home.staging("echo").rename(tmp_path / "gone")
    with pytest.raises(SettingsError, match="mount the shared folders at the same paths") as caught:
        check_machine(home.catalog)
    assert "target_dir" in str(caught.value)
    assert "of project 'delta' can't be read" in str(caught.value)
    assert "of project 'echo' can't be written" in str(caught.value)


def test_folders_of_a_project_that_is_built_may_be_gone(home: Backend, tmp_path: Path) -> None:
    home.define()
    with home.instance() as instance:
        in_process("onboard", "delta", instance)
    home.folder().rename(tmp_path / "elsewhere")
    check_machine(home.catalog)


def test_builds_of_a_single_machine_are_listed_too(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(1)))
    plan_small(sqlite.catalog, "delta", 3100)
    build, seen = batch.build_container, []

    def watched(*arguments: Any, **options: Any) -> Any:
        deadline = time.monotonic() + 60
        while not (seen and seen[-1].project) and time.monotonic() < deadline:
            seen[:] = list_workers(sqlite.catalog)
        return build(*arguments, **options)

    monkeypatch.setattr(batch, "build_container", watched)
    with sqlite.instance() as instance:
        in_process("blitz", "delta", instance)
    assert [(one.project, one.container) for one in seen] == [("delta", 0)]
    assert list_workers(sqlite.catalog) == []
