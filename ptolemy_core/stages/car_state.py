"""What became of a built CAR's file: verified and unchanged, changed since, delivered and gone, missing."""

from ptolemy_core.catalog import stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.project import Project
from ptolemy_core.staging.area import StagedFile


def is_verified(row: CarRow, found: StagedFile | None) -> bool:
    """Whether this is the file that passed verification, unchanged since.

    Its time of change is compared, which no program can set back, and its inode.
    """
    return (
        row.verified_at is not None
        and found is not None
        and found.is_whole(row.car_size)
        and (row.file_ctime, row.file_inode) == (found.ctime, found.inode)
    )


def is_away(project: Project, row: CarRow) -> bool:
    """Whether a CAR is marked as delivered and isn't in the staging folder any more."""
    return row.delivered_at is not None and look(project, row) is None


def is_settled(project: Project, row: CarRow) -> bool:
    """Whether there is nothing to verify: it passed and is unchanged, or it is delivered and gone, or dead."""
    return row.dead_at is not None or is_verified(row, look(project, row)) or is_away(project, row)


def look(project: Project, row: CarRow) -> StagedFile | None:
    """A CAR's file as it is now; of a generated one its outline, which counts as large as the CAR."""
    return stored_cars.of_row(project, row).look()


def why_unsafe(row: CarRow, found: StagedFile | None, *, trust_marks: bool = False) -> str | None:
    """Why the sources of a verified and delivered CAR can't be deleted, as its file is now; None if they can.

    Args:
        row: of the CAR.
        found: what has its name in the staging folder.
        trust_marks: take the mark for enough where the file was gone before it was marked.
    """
    where = f"{row.project}/{row.number}"
    if row.is_generated:
        return f"CAR {where} is generated: these files are all there is of it"
    if found is not None:
        if is_verified(row, found):
            return None
        return f"the file of CAR {where} isn't the one that was verified: run ptolemy verify {row.project}"
    seen = row.seen_at is not None or (row.verified_at or 0.0) >= (row.delivered_at or 0.0)
    if seen or trust_marks:
        return None
    return (
        f"CAR {where} wasn't in staging_dir when it was marked as delivered, so it isn't known to be complete: "
        "--trust-marks deletes anyway"
    )
