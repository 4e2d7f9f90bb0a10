"""A source distribution, the wheel built from it, and two ways to install that, outside the clone."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.requirements import ENGINE, PROJECT, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PACKAGES = ("ptolemy_core", "ptolemy_dagster")
CLEAN = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "SSL_CERT_FILE")}
"""Environment of the subprocesses: nothing of this clone."""


def run(*command: object, cwd: Path, **env: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**CLEAN, **env} if env else None,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """The Python of a new virtual environment."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Built:
    """What was built: the source distribution, and the wheel from what is in it."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build both, from a copy that has only what a fresh clone would have."""
    folder = tmp_path_factory.mktemp("built")
    clone = folder / "clone"
    clone.mkdir()
    for package in PACKAGES:
        skipped = shutil.ignore_patterns("__pycache__", "*.so", "*.dylib")
        shutil.copytree(ROOT / package, clone / package, ignore=skipped)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "MANIFEST.in"):
        shutil.copy(ROOT / name, clone)
    python = environment(folder / "builder")
    run(python, "-m", "pip", "install", "-q", *PROJECT["build-system"]["requires"], cwd=folder)
    build = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    run(python, "-c", build, "build_sdist", folder, cwd=clone)
    [sdist] = folder.glob("ptolemy-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [source] = (folder / "unpacked").iterdir()
    run(python, "-c", build, "build_wheel", folder, cwd=source)
    [wheel] = folder.glob("ptolemy-*.whl")
    return Built(sdist, wheel)


def tracked(*suffixes: str) -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def test_the_wheel_has_all_modules_and_data_and_nothing_else(built: Built) -> None:
    names = {name for name in zipfile.ZipFile(built.wheel).namelist() if ".dist-info/" not in name}
    code = set(tracked(".py"))
    assert code <= names
    data = {"ptolemy_core/py.typed", "ptolemy_dagster/py.typed", "ptolemy_dagster/dagster.yaml"}
    kernel = {name for name in names if name.startswith("ptolemy_core/kernel/libkernel.")}
    assert data <= names
    assert len(kernel) == 1
    others = names - code - data - kernel
    assert {name for name in others if not name.startswith("ptolemy_core/kernel/native/")} == set()


def test_the_wheel_is_for_a_platform_and_has_both_licences(built: Built) -> None:
    assert built.wheel.name.startswith("ptolemy-")
    assert "-py3-none-" in built.wheel.name
    assert not built.wheel.name.endswith("-any.whl")
    if (
        sys.platform == "linux"
        and platform.machine() in ("x86_64", "aarch64")
        and platform.libc_ver()[0] == "glibc"
    ):
        assert f"-manylinux_2_17_{platform.machine()}.manylinux2014_" in built.wheel.name
    names = {name.rpartition("/")[2] for name in zipfile.ZipFile(built.wheel).namelist()}
    assert {"LICENSE-MIT", "LICENSE-APACHE"} <= names


def test_the_source_distribution_has_what_is_built_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked(".py", ".c", ".h", ".yaml", ".typed")) <= names
    assert {"LICENSE-MIT", "LICENSE-APACHE", "README.md", "pyproject.toml", "setup.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "bench", "docs"))]


def test_the_engine_works_where_only_what_it_needs_is_installed(built: Built, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", "--no-deps", built.wheel, cwd=tmp_path)
    pins = ["-c", _constraints(tmp_path)]
    run(python, "-m", "pip", "install", "-q", "--prefer-binary", *pins, *ENGINE, cwd=tmp_path)
    listed = {
        row["name"] for row in json.loads(run(python, "-m", "pip", "list", "--format=json", cwd=tmp_path))
    }
    assert not listed & {"dagster", "fastapi", "starlette", "uvicorn", "typer", "pyarrow"}
    script = Path(__file__).with_name("engine_alone.py")
    printed = run(python, "-I", script, ROOT / "examples", tmp_path / "work", cwd=tmp_path)
    assert printed.splitlines()[-1] == "done"


def test_a_fresh_installation_takes_a_folder_to_verified_cars(built: Built, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", "-c", _constraints(tmp_path), built.wheel, cwd=tmp_path)
    ptolemy = tmp_path / "venv" / "bin" / "ptolemy"
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_bytes(b"alpha")
    home = {"HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path / "home"), "COLUMNS": "100"}
    assert "create" in run(ptolemy, "--help", cwd=tmp_path, **home)
    folders = ("--target-dir", data, "--staging-dir", tmp_path / "cars")
    run(ptolemy, "create", "delta", *folders, "--car-size", 1, cwd=tmp_path, **home)
    [car] = json.loads(run(ptolemy, "run", "delta", "--json", cwd=tmp_path, **home))["cars"]
    assert (tmp_path / "cars" / car["file_name"]).is_file()
    assert car["verified_at"]
    variant = run(
        python, "-c", "from ptolemy_core import kernel; print(kernel.variant())", cwd=tmp_path, **home
    )
    assert variant.strip() != "python", "the compiled kernel isn't used"


def _constraints(folder: Path) -> Path:
    """The locked versions, as constraints: the registry then isn't asked for newer ones."""
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line.removesuffix(" \\") for line in lock if line and not line.startswith((" ", "#"))]
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.sub(r"\[[^]]*\]", "", pin) for pin in pins))  # no extras in constraints
    return path
