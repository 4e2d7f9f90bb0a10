"""Dagster's storages on Postgres: pooled connections, and statements that outlast a restart of the server.

Dagster's own classes connect again for each statement, which costs three times the statement. They run in
autocommit, so each statement is a transaction of its own: one whose connection broke is sent again. Was it
carried out before the connection broke, an event may appear twice in a log; what is built is decided by the
catalog's receipts alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from dagster import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from ptolemy_core.catalog.outage import connect_patiently, survives_outage
from ptolemy_dagster.internals.sqlite import newest_revision

_TABLES = {"runs", "event_logs", "jobs", "alembic_version"}
"""A table of each storage, by which Dagster itself tells whether its tables are there, and that of the revision."""

_CREATION_LOCK = int.from_bytes(b"ptolemy", "big")
_AUTOCOMMIT = "AUTOCOMMIT"


def pooled_engine(url: str, *, idle: int = 2, most: int = 32, recycle: int = 1800, **connect: Any) -> Engine:
    """An engine in autocommit.

    Args:
        url: SQLAlchemy's, of a Postgres.
        idle: connections that are kept open.
        most: connections at once.
        recycle: seconds after which an idle connection is replaced.
        connect: more arguments of psycopg2's connect.
    """
    engine = sa.create_engine(
        url,
        isolation_level=_AUTOCOMMIT,
        pool_pre_ping=True,
        pool_size=idle,
        max_overflow=most - idle,
        pool_recycle=recycle,
        connect_args=connect,
    )
    connect_patiently(engine)
    _send_again(engine)
    return engine


def _send_again(engine: Engine) -> None:
    """Send a statement again, once, if its connection breaks under it: in autocommit nothing else is lost."""

    def send(cursor: Any, context: Any, *sent: Any, how: str) -> bool:
        perform = getattr(engine.dialect, how)
        try:
            perform(cursor, *sent, context)
        except engine.dialect.loaded_dbapi.Error as error:
            connection: Connection = context.root_connection
            level = connection.get_execution_options().get("isolation_level", _AUTOCOMMIT)
            if level != _AUTOCOMMIT or not engine.dialect.is_disconnect(error, cursor.connection, cursor):
                raise
            connection.invalidate()
            begun = connection.get_transaction()
            if begun is not None:
                begun.rollback()
            context.cursor = connection.connection.cursor()  # waits for the server, if it is away
            perform(context.cursor, *sent, context)
        return True

    @event.listens_for(engine, "do_execute")
    def _execute(cursor: Any, statement: Any, parameters: Any, context: Any) -> bool:
        return send(cursor, context, statement, parameters, how="do_execute")

    @event.listens_for(engine, "do_executemany")
    def _executemany(cursor: Any, statement: Any, parameters: Any, context: Any) -> bool:
        return send(cursor, context, statement, parameters, how="do_executemany")

    @event.listens_for(engine, "do_execute_no_params")
    def _execute_no_params(cursor: Any, statement: Any, context: Any) -> bool:
        return send(cursor, context, statement, how="do_execute_no_params")


class _Pooled:
    """Gives one of Dagster's storages an engine of ours."""

    postgres_url: str
    _engine: Engine

    def use(self, engine: Engine) -> None:
        """Use this engine instead of Dagster's."""
        self._engine.dispose()
        self._engine = engine

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Dagster's webserver calls this, with milliseconds, seconds and connections."""
        given = sa.make_url(self.postgres_url).query.get("options", "")
        options = f"{given} -c statement_timeout={statement_timeout}"
        self.use(
            pooled_engine(
                self.postgres_url, idle=1, most=1 + max_overflow, recycle=pool_recycle, options=options
            )
        )


class PooledRunStorage(_Pooled, PostgresRunStorage):
    """Runs."""

    def connect(self) -> Any:
        """A pooled connection."""
        return self._connection()


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Schedules and sensors."""

    def connect(self, run_id: str | None = None) -> Any:
        """A pooled connection."""
        return self._connection()


class PooledEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Events. An asset's are several statements in a transaction, which is done again as a whole."""

    def _connect(self) -> Any:
        return self._connection()

    @survives_outage
    def store_event(self, event: EventLogEntry) -> None:
        """Store an event."""
        super().store_event(event)

    @survives_outage
    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one kind at once."""
        super().store_event_batch(events)

    def dispose(self) -> None:
        """Close the connections, of runs and schedules too."""
        super().dispose()
        self._engine.dispose()


@contextmanager
def _made_by_one(connection: Connection) -> Iterator[bool]:
    """Whether Dagster's tables are there; if not, or to be mended, other processes wait while the block lasts."""
    lock, unlock = sa.func.pg_advisory_lock, sa.func.pg_advisory_unlock
    shared, unlock_shared = sa.func.pg_advisory_lock_shared, sa.func.pg_advisory_unlock_shared
    connection.execute(sa.select(shared(_CREATION_LOCK)))  # waits for a process that makes them
    made = _are_made(connection)
    connection.execute(sa.select(unlock_shared(_CREATION_LOCK)))
    if made:
        yield True
        return
    connection.execute(sa.select(lock(_CREATION_LOCK)))
    try:
        _keep_one_revision(connection)
        yield False
    finally:
        connection.execute(sa.select(unlock(_CREATION_LOCK)))


def _are_made(connection: Connection) -> bool:
    return set(sa.inspect(connection).get_table_names()) >= _TABLES and len(_revisions(connection)) == 1


def _revisions(connection: Connection) -> list[str]:
    """Revisions of its schema that the database names; none where it isn't made yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return []
    return list(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))


def _keep_one_revision(connection: Connection) -> None:
    """Mend tables that two processes made at once: they are those of the newer revision."""
    found = _revisions(connection)
    if len(found) > 1:
        keep = {"newest": newest_revision(found)}
        connection.execute(sa.text("DELETE FROM alembic_version WHERE version_num <> :newest"), keep)


class PooledStorage(DagsterPostgresStorage):
    """Runs, events and schedules on one pool of connections."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage; its tables are made if they aren't there, by one process at a time."""
        engine = pooled_engine(postgres_url)
        with engine.connect() as connection, _made_by_one(connection) as made:
            super().__init__(postgres_url, should_autocreate_tables=not made, inst_data=inst_data)
        self._run_storage = PooledRunStorage(postgres_url, should_autocreate_tables=False)
        self._event_log_storage = PooledEventLogStorage(postgres_url, should_autocreate_tables=False)
        self._schedule_storage = PooledScheduleStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage.use(engine)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledStorage":
        """`postgres_url`: of the database."""
        return cls(config_value["postgres_url"], inst_data)
