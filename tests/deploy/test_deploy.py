"""Files in deploy/: systemd accepts the units, the YAML is whole, and every command and setting in them exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ptolemy_core.catalog import PG_URL
from ptolemy_dagster.cli.app import loaded
from ptolemy_dagster.http.settings import TOKEN_VARIABLE
from ptolemy_dagster.machines.settings import SCHEDULER

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAMS = ("ptolemy", "dagster-webserver", "dagster-daemon")
SETTINGS = {PG_URL, SCHEDULER, TOKEN_VARIABLE, "PTOLEMY_BUILD_PROCESSES"}


def require_known(arguments: list[str]) -> None:
    """See that these are a command of ptolemy and options that it has."""
    command = loaded().commands[arguments[0]]
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    assert {word for word in arguments[1:] if word.startswith("-")} <= options


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    made = []
    for unit in UNITS:
        copy = tmp_path / unit.name.replace("@", "@4")
        copy.write_text(unit.read_text().replace("/opt/ptolemy/.venv/bin", str(tmp_path)))
        made.append(str(copy))
    done = subprocess.run(["systemd-analyze", "verify", *made], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "ptolemy" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    found = re.findall(r"^ExecStart(?:Pre)?=/opt/ptolemy/\.venv/bin/(\S+)(.*)$", unit.read_text(), re.M)
    assert found
    for program, arguments in found:
        assert program in PROGRAMS
        if program == "ptolemy":
            require_known(arguments.split())


def test_compose_and_kubernetes_start_commands_that_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    for name in ("scheduler", "webserver", "worker", "cli"):
        require_known(compose["services"][name]["command"])
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "workers.yaml").read_text()))
    started = [
        container["args"]
        for document in documents
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert [arguments[0] for arguments in started] == ["scheduler", "worker"]
    for arguments in started:
        require_known(arguments)


def test_every_setting_named_in_deploy_exists() -> None:
    for path in DEPLOY.rglob("*.*"):
        if path.is_file():
            assert set(re.findall(r"\bPTOLEMY_[A-Z_]+\b", path.read_text())) <= SETTINGS, path


def test_claims_of_kubernetes_are_the_volumes_that_pods_mount() -> None:
    folder = DEPLOY / "kubernetes"
    claims = {one["metadata"]["name"] for one in yaml.safe_load_all((folder / "volumes.yaml").read_text())}
    mounted = set(re.findall(r"claimName: ([\w-]+)", (folder / "values.yaml").read_text()))
    assert claims == mounted == set(re.findall(r"claimName: ([\w-]+)", (folder / "workers.yaml").read_text()))
    yaml.safe_load((folder / "values.yaml").read_text())
