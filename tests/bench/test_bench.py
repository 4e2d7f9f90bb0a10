"""The benchmark command at toy size, without peers: benchmarks run, and results agree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


CHOSEN = ("kernel", "big-file", "small-files", "scan", "plan", "verify", "encryption", "generate", "serve")


def benchmark(tmp_path: Path, names: tuple[str, ...]) -> str:
    """The results of these benchmarks at toy size."""
    chosen = [part for name in names for part in ("--only", name)]
    results = tmp_path / "results.md"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "--size",
            "toy",
            *chosen,
            "--data",
            str(tmp_path),
            "--results",
            str(results),
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return results.read_text()


@pytest.mark.slow
def test_the_whole_way_is_measured_with_all_of_its_processes(tmp_path: Path) -> None:
    text = benchmark(tmp_path, ("end-to-end",))
    assert "| ptolemy run --until blitz " in text
    assert "| ptolemy run, nothing to do " in text
    assert "| all stages one by one " in text


def test_benchmarks_run_and_agree(tmp_path: Path) -> None:
    text = benchmark(tmp_path, CHOSEN)
    for title in (
        "Kernel",
        "One big file",
        "Small files",
        "Scan",
        "Plan",
        "Verification",
        "Encryption",
        "CARs that are generated",
        "Piece server",
    ):
        assert f"### {title}" in text
    assert "WRONG" not in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.md"]
