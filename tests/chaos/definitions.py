"""Ptolemy's definitions with containers of a few megabytes, which no setting offers: a CAR takes a moment."""

from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.project import Project

CAR_BYTES = 24_000_000


def _small(self: Project, profile: Profile = UNIXFS_V1_2025) -> int:
    return CAR_BYTES


Project.car_bytes = _small  # type: ignore[method-assign]

from ptolemy_dagster.definitions import defs  # noqa: E402

__all__ = ["CAR_BYTES", "defs"]
