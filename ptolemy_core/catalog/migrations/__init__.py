"""Upgrades of the catalog's schema, by Alembic; one file a revision in `versions`."""

import os
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

VERSION_TABLE = "ptolemy_schema"
"""Not Alembic's default name: Dagster's own storage may be in the same database."""


def config() -> Config:
    """Alembic's configuration."""
    made = Config()
    made.set_main_option("script_location", os.path.dirname(__file__))
    made.set_main_option("path_separator", "os")
    return made


def newest() -> str | None:
    """The newest revision."""
    return ScriptDirectory.from_config(config()).get_current_head()


def knows(revision: str) -> bool:
    """Whether there is such a revision."""
    return any(
        script.revision == revision for script in ScriptDirectory.from_config(config()).walk_revisions()
    )


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the connection's transaction."""
    scripts = ScriptDirectory.from_config(config())

    def to_head(revision: Any, _: Any) -> Any:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(config(), scripts, fn=to_head) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
