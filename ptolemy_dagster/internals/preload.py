"""Imported once by the forkserver: what each step process would otherwise import and build by itself."""

import os

import alembic.command  # noqa: F401
import dagster._core.storage.legacy_storage
import dagster._core.storage.sqlite_storage
import dagster._core.workspace.context  # noqa: F401
import dagster_postgres  # noqa: F401
from dagster._core.definitions.reconstruct import ReconstructableRepository

import ptolemy_dagster.internals.storage  # noqa: F401
from ptolemy_dagster.attached import end_as_told

ReconstructableRepository.for_module("ptolemy_dagster.definitions", "defs").get_definition()

# the forkserver ends when the run's process does, however that ended, and its steps with it
os.register_at_fork(after_in_child=lambda: end_as_told(os.getppid()))
