"""The table of a project's CARs, and where each of them is."""

import itertools
from collections.abc import Mapping

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import Catalog, cars, projects, roots
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.errors import StagingError
from ptolemy_core.facts.cars import CarFacts, RootFacts, StagedCarFacts
from ptolemy_core.sizes import readable
from ptolemy_core.staging.area import area_of
from ptolemy_dagster.cli import output


def car_facts(catalog: Catalog, project: str) -> list[StagedCarFacts]:
    """A project's CARs, and whether they are in staging_dir."""
    there = _in_staging(catalog, project)
    return [
        StagedCarFacts.of(row, in_staging=None if there is None else _kept_name(row) in there)
        for row in cars.rows(catalog, project)
    ]


def _kept_name(row: CarRow) -> str:
    """The name of a CAR's file, or of its outline."""
    return outline_name(row.file_name) if row.is_generated else row.file_name


def _in_staging(catalog: Catalog, project: str) -> dict[str, int] | None:
    """Sizes of the files in staging_dir, and of the outlines there, by name; None if it can't be listed."""
    area = area_of(projects.get(catalog, project))
    try:
        return area.sizes() | area.outlines(project)
    except StagingError as error:
        output.say(f"warning: {error}")
        return None


_UNKNOWN = "unknown: staging_dir can't be listed"

CAR_COLUMNS = ("CAR", "payload CID", "piece CID", "CAR size", "piece size", "items")
"""Of what is known of any CAR: `car_cells` and `root_cells` are their cells."""


def car_cells(car: CarFacts) -> tuple[str, ...]:
    """What a CAR is."""
    return (
        f"{car.container:06d}",
        car.payload_cid,
        car.piece_cid,
        readable(car.car_size),
        readable(car.piece_size),
        f"{car.items:,}",
    )


def root_cells(root: RootFacts) -> tuple[str, ...]:
    """What the CAR of a data set's root is: its items are the blocks."""
    return (
        "root",
        root.root_cid,
        root.piece_cid,
        readable(root.car_size),
        readable(root.piece_size),
        f"{root.blocks:,}",
    )


def show_cars(catalog: Catalog, project: str, as_json: bool) -> None:
    """Print a project's CARs and the CAR of its root, and where they are."""
    if as_json:
        output.print_facts(car_facts(catalog, project))
        return
    there = _in_staging(catalog, project)
    found = [CarFacts.of(row) for row in cars.rows(catalog, project)]
    if not found:
        output.say(f"no CAR of {project} is built yet: ptolemy run {project}")
        return
    rows: list[tuple[str, ...]] = [
        (*car_cells(car), "yes" if car.verified_at else "", _where(car, there)) for car in found
    ]
    rows += [_root_row(RootFacts.of(row), there) for row in itertools.islice(roots.rows(catalog, project), 1)]
    output.print_table((*CAR_COLUMNS, "verified", "where"), rows)
    output.say(f"staging_dir is {projects.get(catalog, project).staging_dir}")


def _root_row(root: RootFacts, there: Mapping[str, int] | None) -> tuple[str, ...]:
    """The row of a data set's root."""
    return (*root_cells(root), "", _places(_file_state(root.file_name, root.car_size, there), root))


def _where(car: CarFacts, there: Mapping[str, int] | None) -> str:
    if car.dead_at is not None:
        staged = f"dead: {car.dead_reason}"
    elif there is None:
        staged = _UNKNOWN
    elif car.car_storage == cars.GENERATED:
        is_there = outline_name(car.file_name) in there
        staged = (
            "generated" if is_there else f"outline missing: ptolemy rebuild {car.project}/{car.container}"
        )
    else:
        staged = _file_state(car.file_name, car.car_size, there)
    return _places(staged, car)


def _places(staged: str, car: CarFacts | RootFacts) -> str:
    """Where a CAR is: in staging, delivered, or lost."""
    places = [staged] if staged else []
    if car.delivered_at is not None:
        places.append(f"delivered {car.delivered_to or ''}".strip())
    return ", ".join(places) or "missing: neither in staging nor marked as delivered"


def _file_state(name: str, expected: int, there: Mapping[str, int] | None) -> str:
    """Whether a CAR's file is in staging_dir, in words; empty if it isn't."""
    if there is None:
        return _UNKNOWN
    size = there.get(name)
    if size is None:
        return ""
    return "staging" if size == expected else f"staging, {size:,} bytes only"
