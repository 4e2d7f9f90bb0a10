"""New versions of files that look to a scan as they did, and aren't: other bytes behind the same size and time."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk, projects
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.scans import set_planned
from ptolemy_core.catalog.schema import file, scan
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.encryption import random_headers

_MANY = 500
_COPIED = ("project", "path", "kind", "size", "mtime", "target", "reason")


@survives_outage
def renew(catalog: Catalog, file_ids: Sequence[int]) -> int:
    """Make new versions of files whose content is another one by now; encrypted ones get new salts.

    No scan would find them. What is planned of the old versions and not built is planned again; CARs that hold them
    stay. The old versions never come back.

    Returns:
        how many: a version that is gone isn't renewed.
    """
    with catalog.write() as connection:
        return renew_in(connection, file_ids, other_content=True)


def renew_in(connection: Connection, file_ids: Iterable[int], *, other_content: bool) -> int:
    """`renew` within a transaction.

    Args:
        connection: of it.
        file_ids: of the versions.
        other_content: whether the files have other bytes now; else only their salts mustn't be used again.
    """
    ids = sorted(set(file_ids))
    done = 0
    for low in range(0, len(ids), _MANY):
        chosen = file.c.id.in_(ids[low : low + _MANY]) & file.c.gone_scan.is_(None)
        rows = connection.execute(sa.select(file).where(chosen)).mappings().all()
        if not rows:
            continue
        projects.hold(connection, rows[0]["project"])
        newest = sa.select(sa.func.max(scan.c.id)).where(scan.c.project == rows[0]["project"])
        number = connection.execute(newest.where(scan.c.refused.is_(None))).scalar_one()
        gone = {"gone_scan": number, "other_content": True if other_content else None}
        connection.execute(file.update().where(chosen).values(gone))
        set_planned(connection, rows[0]["project"], None)
        headers = random_headers(len(rows))
        new = [
            (*(row[name] for name in _COPIED), header if row["header"] is not None else None, number)
            for row, header in zip(rows, headers, strict=True)
        ]
        bulk.insert(connection, file, (*_COPIED, "header", "first_scan"), new)
        done += len(rows)
    return done
