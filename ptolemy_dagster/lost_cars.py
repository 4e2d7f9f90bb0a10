"""What is said of built CARs whose files are gone."""

from collections.abc import Sequence

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.sizes import counted


def missing(cars: Sequence[CarRow]) -> str:
    """A sentence on CARs that are neither in staging nor marked as delivered; empty if there are none."""
    if not cars:
        return ""
    names = ", ".join(f"{car.project}/{car.number}" for car in cars[:5]) + (", …" if len(cars) > 5 else "")
    verb = "isn't" if len(cars) == 1 else "aren't"
    return (
        f"{counted(len(cars), 'built CAR')} {verb} whole in staging_dir and {verb} marked as delivered ({names}): "
        "mark those that are with `ptolemy release`, build lost ones again with `ptolemy rebuild`"
    )


def dead(cars: Sequence[CarRow]) -> list[str]:
    """A sentence on each dead CAR."""
    return [
        f"CAR {car.project}/{car.number} can't be generated any more: {car.dead_reason}; containerize and blitz make "
        "new CARs of what is left"
        for car in cars
    ]
