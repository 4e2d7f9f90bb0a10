"""SHA-256 of whole files as the source has them, where a project records them."""

from collections.abc import Mapping

import sqlalchemy as sa

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import file
from ptolemy_core.catalog.store import Catalog


@survives_outage
def keep(catalog: Catalog, digests: Mapping[int, bytes]) -> None:
    """Record digests by the files' ids."""
    if not digests:
        return
    change = file.update().where(file.c.id == sa.bindparam("key")).values(sha256=sa.bindparam("digest"))
    with catalog.write() as connection:
        connection.execute(change, [{"key": key, "digest": digest} for key, digest in digests.items()])
