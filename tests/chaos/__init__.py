"""Chaos: a real Dagster stack whose processes, and whose Postgres, are killed at random points of a run.

`python -m tests.chaos --kills 100` does that until 100 were killed; `--help` says what else.
"""
