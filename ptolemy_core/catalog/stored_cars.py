"""Built CARs as values that can be opened for reading without the catalog: `staging.stored.StoredCar`."""

from collections.abc import Iterable

import sqlalchemy as sa

from ptolemy_core.catalog import cars, projects, roots
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.schema import car, dataset_root
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import NotFoundError
from ptolemy_core.project import Project
from ptolemy_core.staging.stored import StoredCar


def of_row(project: Project, row: CarRow) -> StoredCar:
    """A CAR of a project."""
    return StoredCar(
        project=row.project,
        number=row.number,
        file_name=row.file_name,
        payload_cid=row.payload_cid,
        piece_cid_v1=row.piece_cid_v1,
        piece_cid_v2=row.piece_cid_v2,
        car_size=row.car_size,
        piece_size=row.piece_size,
        built_at=row.built_at,
        generated=row.is_generated,
        staging_dir=project.staging_dir,
        source=project.target_bytes,
        profile=project.source_profile,
        dead=None if row.dead_at is None else row.dead_reason or "its source changed",
        wrapped=row.wrapped,
    )


def of_root(project: Project, row: RootRow) -> StoredCar:
    """The CAR of a data set's root, which is always staged."""
    return StoredCar(
        project=row.project,
        number=None,
        file_name=row.file_name,
        payload_cid=row.root_cid,
        piece_cid_v1=row.piece_cid_v1,
        piece_cid_v2=row.piece_cid_v2,
        car_size=row.car_size,
        piece_size=row.piece_size,
        built_at=row.built_at,
        generated=False,
        staging_dir=project.staging_dir,
        source=project.target_bytes,
        profile=project.source_profile,
    )


def by_number(catalog: Catalog, project: str, number: int) -> StoredCar:
    """The CAR of a container.

    Raises:
        UnknownProjectError: no such project.
        NotFoundError: it isn't built, or there is no such container.
    """
    settings = projects.get(catalog, project)
    row = next(cars.rows(catalog, project, number), None)
    if row is None:
        raise NotFoundError(
            f"project {project!r} has no built CAR {number}: ptolemy cars {project} lists them"
        )
    return of_row(settings, row)


@survives_outage
def by_piece(catalog: Catalog, piece_cid: bytes) -> list[StoredCar]:
    """All built CARs with a piece CID (binary, version 1 or 2), of any project, and CARs of roots.

    More than one where projects hold the same content. Those that can be read come first: staged before generated
    before dead ones.
    """
    named = sa.or_(car.c.piece_cid_v1 == piece_cid, car.c.piece_cid_v2 == piece_cid)
    found = _opened(catalog, cars.select(catalog, named))
    root = sa.or_(dataset_root.c.piece_cid_v1 == piece_cid, dataset_root.c.piece_cid_v2 == piece_cid)
    found += [of_root(projects.get(catalog, row.project), row) for row in roots.select(catalog, root)]
    return sorted(found, key=lambda one: (one.dead is not None, one.generated))


def _opened(catalog: Catalog, rows: Iterable[CarRow]) -> list[StoredCar]:
    settings: dict[str, Project] = {}
    out = []
    for row in rows:
        if row.project not in settings:
            settings[row.project] = projects.get(catalog, row.project)
        out.append(of_row(settings[row.project], row))
    return out
