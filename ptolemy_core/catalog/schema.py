"""Tables of the catalog. Sizes and offsets are bytes, times seconds since 1970.

`mtime` is the token of an entry's stamp (`source.Stamp`): on a file system, its modification time in nanoseconds.

Paths are the names below target_dir joined by NUL (see `tree`): their order is the tree's order.
"""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)

from ptolemy_core.settings import SETTINGS, Setting

metadata = MetaData()
_BIG_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only


class Texts(TypeDecorator[tuple[str, ...]]):
    """A list of texts, as a JSON text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        """What is stored."""
        return json.dumps(list(value or ()))

    def process_result_value(self, value: Any, dialect: Any) -> tuple[str, ...]:
        """What was stored."""
        return tuple(json.loads(value)) if value else ()


_TYPES: dict[Any, Any] = {str: String, int: Integer, bool: Boolean, list[str]: Texts}
_WITHOUT_DEFAULT = frozenset({"shard_size", "car_size", "encryption", "load_type"})
"""Settings whose columns the first schema made without a default."""


def _partial_index(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    """An index of the rows for which `where` holds.

    The migrations make it so. Told of it by arguments of its own, SQLAlchemy would import all drivers of a dialect.
    """
    Index(name, *columns, unique=unique, info={"where": where})


def _setting_column(setting: Setting) -> Column[Any]:
    """The column of a project's setting."""
    if setting.name == "name":
        return Column(setting.name, String, primary_key=True)
    default: Any = None
    if setting.default is not None and setting.name not in _WITHOUT_DEFAULT:
        plain = {True: true(), False: false()}.get(setting.default) if setting.type is bool else None
        default = plain if plain is not None else str(setting.default)
    optional = not setting.required and setting.default is None
    return Column(setting.name, _TYPES[setting.type], nullable=optional, server_default=default)


project = Table(
    "project",
    metadata,
    *(_setting_column(setting) for setting in SETTINGS.values()),
    Column("created_at", Float, nullable=False),
)

scan = Table(
    "scan",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.name"), nullable=False, index=True),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("mounts", String),  # JSON, see `source.filesystem`: the file systems that it found
    Column("refused", String),  # why nothing of it was recorded
    Column("planned", Boolean),  # true: all that it left is in containers; null: that isn't known
    Column("live", String),  # JSON, see `scans.LiveTotals`: counts over what it left; null: not known
)

file = Table(  # no foreign keys, which cost more than the rows: see `projects.hold`
    "file",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime", BigInteger, nullable=False),
    Column("target", LargeBinary),
    Column("reason", String),
    Column("first_scan", _BIG_ID, nullable=False),
    Column("gone_scan", _BIG_ID),
    Column("cid", LargeBinary),
    Column("sha256", LargeBinary),  # of the file in the source, if the project's file_sha256 says so
    Column("header", LargeBinary),  # of an encrypted file: salt and nonce prefix, see `encryption.Header`
    # true: of a version that is gone since its source has other bytes, though size and time stayed
    Column("other_content", Boolean),
)
file.add_is_dependent_on(scan)  # where SQLite still has the keys of earlier versions, files are deleted first
Index("file_by_path", file.c.project, file.c.path, file.c.first_scan)
_partial_index("file_by_cid", file.c.cid, where="cid IS NOT NULL")
_partial_index("file_left_out", file.c.project, where="kind < 0 AND gone_scan IS NULL")

absence = Table(  # of a version that a scan missed and a later one met again, as it was
    "absence",
    metadata,
    Column("file_id", ForeignKey("file.id"), primary_key=True),
    Column("gone_scan", ForeignKey("scan.id"), primary_key=True),
    Column("back_scan", ForeignKey("scan.id"), nullable=False),
)

folder = Table(  # of watched projects: what the last scan saw of each folder before it listed it
    "folder",
    metadata,
    Column("project", ForeignKey("project.name"), primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("mtime", BigInteger, nullable=False),
)

container = Table(
    "container",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("data_bytes", BigInteger, nullable=False),
    Column("car_size", BigInteger, nullable=False),
    Column("piece_size", BigInteger, nullable=False),
    Column("planned_at", Float, nullable=False),
    UniqueConstraint("project", "number"),
    sqlite_autoincrement=True,
)

shard = Table(
    "shard",
    metadata,
    Column("container_id", ForeignKey("container.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("file_id", ForeignKey("file.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
)

car = Table(
    "car",
    metadata,
    Column("container_id", ForeignKey("container.id"), primary_key=True),
    Column("file_name", String, nullable=False),
    Column("payload_cid", LargeBinary, nullable=False, index=True),
    Column("piece_cid_v1", LargeBinary, nullable=False, index=True),
    Column("piece_cid_v2", LargeBinary, nullable=False, index=True),
    Column("car_size", BigInteger, nullable=False),
    Column("piece_size", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
    Column("built_at", Float, nullable=False),
    Column("build_seconds", Float, nullable=False),
    # false: the receipt of an encrypted CAR was written, but it isn't known that the CAR got its name
    Column("named", Boolean, nullable=False, server_default=true()),
    Column("verified_at", Float),
    Column("delivered_at", Float),
    Column("delivered_to", String),
    # what its file was like when it passed verification: verified is that file alone (see `delivery.is_verified`)
    Column("file_ctime", BigInteger),
    Column("file_inode", BigInteger),
    Column("failed_at", Float),
    Column("seen_at", Float),
    Column("car_storage", String, nullable=False, server_default="staged"),
    # of a generated CAR, or a staged one whose file is lost: when its source was found to be changed, and which files
    Column("dead_at", Float),
    Column("dead_reason", String),
)

built_shard = Table(
    "built_shard",
    metadata,
    Column("container_id", ForeignKey("car.container_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("cid", LargeBinary, nullable=False),
    Column("car_offset", BigInteger, nullable=False),
    Column("nodes", LargeBinary),
    Column("read_ctime", BigInteger),  # the state in which the build read the file; null: not known
    Column("read_inode", BigInteger),
)
Index("built_shard_by_cid", built_shard.c.cid, built_shard.c.container_id, built_shard.c.position)

replaced_shard = Table(  # what a dead CAR held, and a new plan holds in its place
    "replaced_shard",
    metadata,
    Column("container_id", ForeignKey("car.container_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("file_id", ForeignKey("file.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("cid", LargeBinary, nullable=False),
    Column("car_offset", BigInteger, nullable=False),
)

dataset_root = Table(
    "dataset_root",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.name"), nullable=False),
    Column("scan", ForeignKey("scan.id"), nullable=False),
    Column("root_cid", LargeBinary, nullable=False, index=True),
    Column("entries", BigInteger, nullable=False),
    Column("data_bytes", BigInteger, nullable=False),
    Column("left_out", BigInteger, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("file_name", String, nullable=False),
    Column("piece_cid_v1", LargeBinary, nullable=False, index=True),
    Column("piece_cid_v2", LargeBinary, nullable=False, index=True),
    Column("car_size", BigInteger, nullable=False),
    Column("piece_size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("built_at", Float, nullable=False),
    Column("build_seconds", Float, nullable=False),
    Column("delivered_at", Float),
    Column("delivered_to", String),
    UniqueConstraint("project", "scan"),
)

skipped = Table(  # shards that a build dropped, because their file wasn't what the scan saw
    "skipped",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.name"), nullable=False, index=True),
    Column("file_id", ForeignKey("file.id"), nullable=False, index=True),
    Column("container", Integer, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("skipped_at", Float, nullable=False),
)

progress = Table(
    "progress",
    metadata,
    Column("project", ForeignKey("project.name"), primary_key=True),
    Column("task", String, primary_key=True),
    Column(
        "work", String
    ),  # with the container, what the task is; null: the row tells who spoke of work last
    Column("container", Integer),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("started_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

waiting = Table(
    "waiting",
    metadata,
    Column("project", ForeignKey("project.name"), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("since", Float, nullable=False),
)

deletion = Table(
    "deletion",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.name"), nullable=False, index=True),
    Column("file_id", ForeignKey("file.id"), nullable=False, unique=True),
    Column("path", LargeBinary, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime", BigInteger, nullable=False),
    Column("cid", LargeBinary),
    Column("intended_at", Float, nullable=False),
    Column("deleted_at", Float),
    Column(
        "aside", LargeBinary
    ),  # its name, in the same folder, from the moment it is taken away until it is gone
    Column("inode", BigInteger),
    Column("root", BigInteger),  # inode of target_dir: where another disk is there, nothing can be told
)

source_fault = Table(  # shards that weren't what their source held when they were compared
    "source_fault",
    metadata,
    Column("container_id", ForeignKey("container.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("file_id", ForeignKey("file.id"), nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column(
        "suspect", Boolean, nullable=False
    ),  # the CAR itself may be wrong: nothing says that the file changed
    Column("found_at", Float, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("host", String, primary_key=True),
    Column("pid", Integer, primary_key=True, autoincrement=False),
    Column("project", String),
    Column("container", Integer),
    Column("started_at", Float, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
)

handover = Table(
    "handover",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("written_at", Float, nullable=False),
)

data_key = Table(
    "data_key",
    metadata,
    Column("project", ForeignKey("project.name"), primary_key=True),
    Column("use", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("alias", String, nullable=False),
    Column("alias_version", Integer, nullable=False),
    Column("key_id", String, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

provider = Table(  # a storage provider that deals are made with
    "provider",
    metadata,
    Column("name", String, primary_key=True),
    Column("engine", String, nullable=False),
    Column("network", String, nullable=False),
    Column("address", String, nullable=False),
    Column("url", String, nullable=False),
    Column("plain_http", Boolean, nullable=False),
    Column("retrieval_url", String),  # a template; null: the engine's usual place below `url`
    Column("max_pending", Integer),
    Column("max_pending_bytes", BigInteger),
    Column("max_total_bytes", BigInteger),
    Column("rate", Float, nullable=False),  # requests a second
    Column("added_at", Float, nullable=False),
    Column("away_since", Float),
    Column("away_until", Float),
    Column("away_reason", String),
)

deal = Table(
    "deal",
    metadata,
    Column("id", String, primary_key=True),  # a ULID
    Column("project", ForeignKey("project.name"), nullable=False, index=True),
    # the container that it was made for; no foreign key, as a deal outlives a container that is planned again
    Column("container_id", BigInteger),
    Column("piece_cid_v2", LargeBinary, nullable=False),
    Column("payload_cid", LargeBinary, nullable=False),
    Column("car_size", BigInteger, nullable=False),
    Column("piece_size", BigInteger, nullable=False),
    Column("provider", ForeignKey("provider.name"), index=True),  # null: a CAR marked as delivered by hand
    Column("engine", String, nullable=False),
    Column("state", String, nullable=False),
    Column("live", Boolean, nullable=False),  # whether its state isn't an end
    Column("wallet", String),
    Column("client", String),
    Column("transfer", String, nullable=False),
    Column("duration", BigInteger),  # epochs
    Column("start_hours", Integer),
    Column("start_epoch", BigInteger),
    Column("end_epoch", BigInteger),
    Column("allocation_id", BigInteger),
    Column("renews", String, nullable=False, server_default=text("''")),
    Column("attempt", Integer, nullable=False),
    Column("tries", Integer, nullable=False),  # failed ones to send it
    Column("next_at", Float, nullable=False),  # when it is due to be sent or asked for
    Column("checked_at", Float),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("fault", String),
    Column("message", String, nullable=False),
    Column("forgiven", Boolean, nullable=False),  # doesn't count against its provider any more
)
_partial_index(
    "deal_once",  # at most one live deal of a piece with a provider, renewals apart
    deal.c.piece_cid_v2,
    deal.c.provider,
    deal.c.renews,
    where="live AND provider IS NOT NULL",
    unique=True,
)
Index("deal_by_piece", deal.c.piece_cid_v2)
_partial_index("deal_due", deal.c.next_at, where="live")

deal_state = Table(  # the history of deals: rows are added, never changed
    "deal_state",
    metadata,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("deal_id", ForeignKey("deal.id"), nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("fault", String),
    Column("message", String, nullable=False),
)

allocation = Table(  # of data cap, imported
    "allocation",
    metadata,
    Column("network", String, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("client", String),
    Column("provider", String, nullable=False),  # its address
    Column("piece_cid_v1", LargeBinary, nullable=False, index=True),
    Column("piece_size", BigInteger, nullable=False),
    Column("term_min", BigInteger),
    Column("term_max", BigInteger),
    Column("expiration", BigInteger),
    Column("imported_at", Float, nullable=False),
)
