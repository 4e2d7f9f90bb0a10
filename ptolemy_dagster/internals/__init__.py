"""Everything that uses private names of Dagster (`dagster._core` and the like), which any version may change.

The rest of the pipeline uses Dagster's public API and this folder. `tests/pipeline/test_internals.py` lists each
private name with what is used of it, and says what is gone or changed after an upgrade of Dagster.
"""
