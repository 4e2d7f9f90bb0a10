"""What happens to a CAR after it is built: verified, delivered; and CARs found by any of their names."""

import os
import time

import sqlalchemy as sa

from ptolemy_core.catalog import cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.errors import DeliveryError


def named(catalog: Catalog, text: str, project: str | None = None) -> list[CarRow]:
    """The built CARs that this text names, by project and number.

    Args:
        catalog: that holds them.
        text: a payload CID, a piece CID v1 or v2, a CAR's file name or path, or a project and a number
            as `delta/3` or `delta|000003`. A CID names several CARs where the same content was built twice.
        project: of the only project to look in.

    Raises:
        DeliveryError: it names none.
    """
    wanted = _wanted(text)
    if project is not None:
        wanted = wanted & (container.c.project == project)
    rows = list(cars.select(catalog, wanted))
    if not rows:
        where = f" of project {project!r}" if project else ""
        raise DeliveryError(
            f"no built CAR{where} is called {text!r}: give a payload CID, a piece CID, the CAR's file name, or "
            "project/number as delta/3; `ptolemy cars PROJECT` lists them"
        )
    return rows


def _wanted(text: str) -> sa.ColumnElement[bool]:
    if not _is_text(text):
        return sa.false()  # no CAR is called that, and databases refuse to look
    for separator in "|/":
        name, found, number = text.rpartition(separator)
        if found and number.isdecimal() and len(number) < 10:
            return (container.c.project == name) & (container.c.number == int(number))
    name = os.path.basename(text)
    by_name = car.c.file_name == name
    try:
        binary = cid.from_text(name.removesuffix(".car"))
    except ValueError:
        return by_name
    same = (car.c.payload_cid == binary, car.c.piece_cid_v1 == binary, car.c.piece_cid_v2 == binary)
    return sa.or_(by_name, *same)


def mark(catalog: Catalog, row: CarRow, note: str | None) -> None:
    """Mark a CAR as delivered; one that is already keeps its time, and its note unless there is a new one.

    Raises:
        DeliveryError: the note isn't text.
    """
    if note is not None and not _is_text(note):
        raise DeliveryError(f"the note must be text in UTF-8 without NUL, got {note!r}")
    values: dict[str, object] = {"delivered_at": sa.func.coalesce(car.c.delivered_at, time.time())}
    if note is not None:
        values["delivered_to"] = note
    _update(catalog, row, values)


def unmark(catalog: Catalog, row: CarRow) -> None:
    """Take the mark back."""
    _update(catalog, row, {"delivered_at": None, "delivered_to": None})


def set_verified(catalog: Catalog, row: CarRow, passed: bool, at: float | None = None) -> None:
    """Record that a CAR's file passed verification, or that it doesn't count as verified (any more).

    Args:
        catalog: that holds the CAR.
        row: of the CAR.
        passed: whether it did.
        at: when its reading began, seconds since 1970; now if None.
    """
    _update(catalog, row, {"verified_at": (at or time.time()) if passed else None})


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _update(catalog: Catalog, row: CarRow, values: dict[str, object]) -> None:
    with catalog.write() as connection:
        connection.execute(car.update().where(car.c.container_id == row.container_id).values(**values))
