"""Warnings of Dagster that say nothing to a user are in no log of a run."""

import subprocess
import sys

BETA = "import dagster as dg; dg.Output(1, data_version=dg.DataVersion('1'))"


def said(script: str) -> str:
    """What a process, as a run has one, writes to standard error."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr


def test_an_asset_with_a_data_version_writes_no_warning_of_a_beta_into_the_log_of_its_run() -> None:
    assert "BetaWarning" not in said(f"import ptolemy_dagster.definitions; {BETA}")


def test_dagster_still_gives_the_warning_that_is_filtered() -> None:
    assert "BetaWarning: Parameter `data_version`" in said(BETA)
