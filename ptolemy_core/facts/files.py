"""Files: where their bytes are, their versions, what a scan changed, and what is in no CAR."""

from collections.abc import Sequence
from typing import Literal, Self

from ptolemy_core.catalog import Catalog, replicas
from ptolemy_core.catalog.deletions import Deletion
from ptolemy_core.catalog.find import Found
from ptolemy_core.catalog.history import Change, Version
from ptolemy_core.catalog.skipped import NotStored, Skipped
from ptolemy_core.dag import cid
from ptolemy_core.facts.fields import (
    ExactMoment,
    Facts,
    Moment,
    Unit,
    exact_moment,
    field,
    moment,
    moment_or_none,
)
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_PATH = "Names below target_dir joined by /: a backslash doubled, each byte of what isn't printable UTF-8 as \\xNN."
_KIND = "file, symlink, directory (an empty one, or a data set's root) or left out."
_MTIME = "Modification time when it was scanned, nanoseconds since 1970."
_MODIFIED = "The same as ISO 8601; null outside the years 1 to 9999."


class FileFacts(Facts):
    """A file, a shard of a split file, a link or an empty folder, and which bytes of which CAR hold it."""

    project: str = field("project", "Name of the project.")
    path: str = field("path", _PATH)
    kind: str = field("kind", _KIND)
    size: int = field("size", "Bytes of the whole file.", Unit.BYTES)
    scan: int = field("scan", "The scan that found this version of the file.")
    current: bool = field("current", "False once a later scan found the file changed or gone.")
    shard: int | None = field("shard", "Number of the shard of a split file, from 0; null: the whole file.")
    start: int | None = field("start", "First byte of the shard in its file.")
    length: int | None = field("length", "Bytes of the shard.")
    cid: str | None = field("CID", "Of the shard, link or folder; null while it isn't built.", Unit.CID)
    file_cid: str | None = field(
        "file CID", "Of the whole file; null while one of its shards isn't built.", Unit.CID
    )
    container: int | None = field("CAR", "Number of the CAR's container; null: not planned.", Unit.CONTAINER)
    car_offset: int | None = field("offset", "First byte in the CAR of the blocks of this file or shard.")
    car_length: int | None = field("bytes in the CAR", "Bytes of those blocks in the CAR.")
    payload_cid: str | None = field("payload CID", "Root of the CAR.", Unit.CID)
    piece_cid: str | None = field("piece CID", "Piece CID v1 of the CAR.", Unit.CID)
    piece_cid_v2: str | None = field("piece CID v2", "Piece CID v2 of the CAR.", Unit.CID)
    file_name: str | None = field("file", "Name of the CAR in staging_dir.")
    car_storage: str | None = field("storage", "How the CAR is stored: staged or generated.")
    sha256: str | None = field(
        "sha256", "SHA-256 of the whole file in the source, hex; null: not recorded.", Unit.HEX
    )
    dead: str | None = field("dead", "Why a generated CAR can't be read any more; null: it can.")

    stored_by: list[str] = field("stored by", "Addresses of the providers with an active deal of the piece.")

    @classmethod
    def listed(cls, catalog: Catalog, found: Sequence[Found]) -> list[Self]:
        """What a look-up found, and which providers store it."""
        pieces = {one.piece_cid_v2: cid.from_text(one.piece_cid_v2) for one in found if one.piece_cid_v2}
        stored = replicas.stored_by(catalog, pieces.values())
        return [cls.of(one, stored.get(pieces.get(one.piece_cid_v2 or "", b""), [])) for one in found]

    @classmethod
    def of(cls, found: Found, stored_by: list[str]) -> Self:
        """What a look-up found."""
        return cls(
            project=found.project,
            path=found.path,
            kind=found.kind,
            size=found.size,
            scan=found.version,
            current=found.current,
            shard=found.shard,
            start=found.start,
            length=found.length,
            cid=found.cid,
            file_cid=found.file_cid,
            container=found.container,
            car_offset=found.car_offset,
            car_length=found.car_length,
            payload_cid=found.payload_cid,
            piece_cid=found.piece_cid,
            piece_cid_v2=found.piece_cid_v2,
            file_name=found.file_name,
            car_storage=found.car_storage,
            sha256=found.sha256,
            dead=found.dead,
            stored_by=stored_by,
        )


class SkippedFacts(Facts):
    """An entry that is in no CAR: left out by a scan, or dropped by a build."""

    project: str = field("project", "Name of the project.")
    path: str = field("path", _PATH)
    reason: str = field("reason", "Why it is in no CAR.")
    at: Moment = field("when", "When it was left out or dropped.")
    stage: Literal["scan", "blitz"] = field("stage", "scan, which left it out, or blitz, which dropped it.")
    container: int | None = field("CAR", "Number of the container that it was dropped from.", Unit.CONTAINER)
    shard: int | None = field("shard", "Of a split file: the number of the shard.")
    current: bool = field("current", "Whether the last scan still saw this version of it.")

    @classmethod
    def of(cls, row: Skipped) -> Self:
        """A record of the catalog."""
        return cls(
            project=row.project,
            path=row.path,
            reason=row.reason,
            at=moment(row.at),
            stage=row.stage,
            container=row.container,
            shard=row.shard,
            current=row.current,
        )


class NotStoredFacts(Facts):
    """How many entries of the last scan are in no CAR, and won't be: `ptolemy skipped` names them."""

    unreadable: int = field("unreadable", "Files and folders that the scan couldn't read.")
    special: int = field("special", "Named pipes, sockets and devices.")
    own: int = field("own", "Folders and files that Ptolemy made for itself; not in the total.")
    dropped: int = field("dropped", "Files that a build dropped: they weren't what the scan had seen.")
    total: int = field("in no CAR", "Unreadable, special and dropped ones together.")

    @classmethod
    def of(cls, counts: NotStored) -> Self:
        """Counts of the catalog."""
        return cls(
            unreadable=counts.unreadable,
            special=counts.special,
            own=counts.own,
            dropped=counts.dropped,
            total=counts.total,
        )


class AbsenceFacts(Facts):
    """A time in which a version wasn't there."""

    gone_scan: int = field("gone scan", "The scan that missed it.")
    back_scan: int = field("back scan", "The scan that found it again as it was.")


class VersionFacts(Facts):
    """A version of an entry: there is a new one whenever its kind, size, time or link target changed."""

    path: str = field("path", _PATH)
    kind: str = field("kind", _KIND)
    size: int = field("size", "Bytes of the file.", Unit.BYTES)
    mtime_ns: int = field("modified", _MTIME)
    modified_at: ExactMoment | None = field("modified", _MODIFIED)
    scan: int = field("scan", "The scan that found this version first.")
    gone_scan: int | None = field("gone scan", "The scan that missed it; null: it is current.")
    absences: list[AbsenceFacts] = field("absences", "Times between in which it wasn't there.")
    containers: list[int] = field("CARs", "Numbers of the containers that hold it.")
    file_names: list[str] = field("files", "Names of those of their CARs that are built.")

    @classmethod
    def of(cls, version: Version) -> Self:
        """A version of the catalog."""
        return cls(
            path=version.path,
            kind=version.kind,
            size=version.size,
            mtime_ns=version.mtime,
            modified_at=exact_moment(version.mtime),
            scan=version.first_scan,
            gone_scan=version.gone_scan,
            absences=[AbsenceFacts(gone_scan=gone, back_scan=back) for gone, back in version.absences],
            containers=version.containers,
            file_names=version.cars,
        )


class ChangeFacts(Facts):
    """What a scan found of one path."""

    what: Literal["added", "changed", "gone"] = field("what", "added, changed or gone.")
    path: str = field("path", _PATH)
    was: int | None = field("size before", "Bytes before this scan; null: it wasn't there.", Unit.BYTES)
    now: int | None = field("size now", "Bytes at this scan; null: it isn't there any more.", Unit.BYTES)


class ChangesFacts(Facts):
    """What a scan found other than the finished one before it."""

    project: str = field("project", "Name of the project.")
    scan: int = field("scan", "Number of the scan.")
    changes: list[ChangeFacts] = field("changes", "By path.")

    @classmethod
    def of(cls, project: str, scan: int, changes: list[Change]) -> Self:
        """Changes of the catalog."""
        return cls(
            project=project,
            scan=scan,
            changes=[ChangeFacts(what=one.what, path=one.path, was=one.was, now=one.now) for one in changes],
        )


class DeletedFacts(Facts):
    """A source that was deleted after it was delivered."""

    path: str = field("path", _PATH)
    kind: str = field("kind", "file, symlink or directory.")
    size: int = field("size", "Bytes of the file.", Unit.BYTES)
    mtime_ns: int = field("modified", _MTIME)
    modified_at: ExactMoment | None = field("modified", _MODIFIED)
    file_cid: str | None = field("CID", "Of the whole file or link; null for a folder.", Unit.CID)
    deleted_at: Moment | None = field(
        "deleted", "When; null: the deletion was interrupted, run delete-source again."
    )

    @classmethod
    def of(cls, row: Deletion) -> Self:
        """A row of the journal."""
        return cls(
            path=paths.escape(row.path),
            kind=KIND_NAMES[Kind(row.kind)],
            size=row.size,
            mtime_ns=row.mtime,
            modified_at=exact_moment(row.mtime),
            file_cid=None if row.cid is None else cid.to_text(row.cid),
            deleted_at=moment_or_none(row.deleted_at),
        )
