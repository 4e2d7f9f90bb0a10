"""Imported once by the forkserver: what each step process would otherwise import and build by itself.

And what makes each step process end with its run's worker.
"""

import os

from ptolemy_core.catalog import PG_URL
from ptolemy_core.garbage import collect_seldom, imports_kept
from ptolemy_dagster.attached import end_with_run

with imports_kept():  # so that what the steps' processes share stays shared
    import alembic.command  # noqa: F401
    import dagster._core.storage.legacy_storage
    import dagster._core.storage.sqlite_storage
    import dagster._core.workspace.context  # noqa: F401
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    import ptolemy_core.stages.dataset
    import ptolemy_core.stages.manifest
    import ptolemy_core.stages.verify  # noqa: F401
    import ptolemy_dagster.storage

    if os.environ.get(PG_URL):
        import ptolemy_dagster.internals.postgres  # noqa: F401

    ReconstructableRepository.for_module("ptolemy_dagster.definitions", "defs").get_definition()

collect_seldom()
os.register_at_fork(after_in_child=end_with_run)  # each step's process is a fork of this one
