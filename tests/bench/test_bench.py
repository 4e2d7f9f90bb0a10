"""The benchmark command at toy size, without peers: benchmarks run, and results agree."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


CHOSEN = ("kernel", "big-file", "small-files", "scan", "plan", "verify", "encryption", "generate", "serve")


def test_benchmarks_run_and_agree(tmp_path: Path) -> None:
    chosen = [part for name in CHOSEN for part in ("--only", name)]
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
    text = results.read_text()
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
