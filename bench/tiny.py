"""Ptolemy's definitions with containers of a kilobyte, which no setting offers: what is left is Dagster's cost."""

from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.project import Project

FILE_BYTES = 1000


def _tiny(self: Project, profile: Profile = UNIXFS_V1_2025) -> int:
    return FILE_BYTES + FILE_BYTES // 10


Project.car_bytes = _tiny  # type: ignore[method-assign]

from ptolemy_dagster.definitions import defs  # noqa: E402

__all__ = ["FILE_BYTES", "defs"]
