"""Ptolemy's pipeline: the engine's stages as Dagster assets, jobs and checks, partitioned by project."""
