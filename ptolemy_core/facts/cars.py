"""A CAR, planned or built, and the root of a data set with its CAR."""

from typing import Self

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.dag import cid
from ptolemy_core.facts.fields import Facts, Moment, Unit, field, moment, moment_or_none


class PlannedCarFacts(Facts):
    """A container of the plan: the size of its CAR is exact before any data is read."""

    container: int = field("container", "Number within the project, from 0.", Unit.CONTAINER)
    items: int = field("items", "Files, shards, links and empty folders in it.")
    data_bytes: int = field("data", "Bytes of files in it.", Unit.BYTES)
    car_size: int = field("CAR size", "Bytes of the CAR.", Unit.BYTES)
    piece_size: int = field("piece size", "Bytes of the padded piece: a power of two.", Unit.BYTES)
    padding: int = field("padding", "Bytes of the piece that hold no CAR.", Unit.BYTES)
    built: bool = field("built", "Whether its CAR is built.")
    car_storage: str = field("storage", "staged or generated: how its CAR is stored, or will be.")

    @classmethod
    def of(cls, row: ContainerRow) -> Self:
        """A row of the catalog."""
        return cls(
            container=row.number,
            items=row.items,
            data_bytes=row.data_bytes,
            car_size=row.car_size,
            piece_size=row.piece_size,
            padding=row.padding,
            built=row.built,
            car_storage=row.car_storage,
        )


class CarFacts(Facts):
    """A built CAR."""

    project: str = field("project", "Name of the project.")
    container: int = field("CAR", "Number of its container within the project, from 0.", Unit.CONTAINER)
    payload_cid: str = field("payload CID", "Root of the CAR, bafy… or bafk….", Unit.CID)
    piece_cid: str = field("piece CID", "Piece CID v1, baga6ea4seaq….", Unit.CID)
    piece_cid_v2: str = field("piece CID v2", "Piece CID v2 (FRC-0069), bafkzcib….", Unit.CID)
    car_size: int = field("CAR size", "Bytes of the CAR.", Unit.BYTES)
    piece_size: int = field("piece size", "Bytes of the padded piece: a power of two.", Unit.BYTES)
    data_bytes: int = field("data", "Bytes of files in it.", Unit.BYTES)
    items: int = field("items", "Files, shards, links and empty folders in it.")
    sha256: str | None = field(
        "sha256", "SHA-256 of the CAR, hex; null if the project's car_sha256 is off.", Unit.HEX
    )
    file_name: str = field("file", "Name of the CAR in staging_dir: <piece_cid>.car.")
    built_at: Moment = field("built", "When it was built.")
    build_seconds: float = field("build time", "Seconds that its build took.", Unit.SECONDS)
    verified_at: Moment | None = field("verified", "When it last passed verification; null: not yet.")
    delivered_at: Moment | None = field("delivered", "When it was marked as delivered; null: it isn't.")
    delivered_to: str | None = field("delivered to", "What was noted of where it went.")
    car_storage: str = field(
        "storage", "staged: a file in staging_dir; generated: made from the source when read."
    )
    dead_at: Moment | None = field(
        "dead since", "Of a generated CAR: when a scan found that its source changed; null: it can be read."
    )
    dead_reason: str | None = field("dead", "Which files of it changed.")

    @classmethod
    def of(cls, row: CarRow, **more: object) -> Self:
        """A row of the catalog; `more` are the fields that a derived model has besides."""
        return cls(
            project=row.project,
            container=row.number,
            payload_cid=cid.to_text(row.payload_cid),
            piece_cid=cid.to_text(row.piece_cid_v1),
            piece_cid_v2=cid.to_text(row.piece_cid_v2),
            car_size=row.car_size,
            piece_size=row.piece_size,
            data_bytes=row.data_bytes,
            items=row.items,
            sha256=row.sha256.hex() if row.sha256 else None,
            file_name=row.file_name,
            built_at=moment(row.built_at),
            build_seconds=row.build_seconds,
            verified_at=moment_or_none(row.verified_at),
            delivered_at=moment_or_none(row.delivered_at),
            delivered_to=row.delivered_to,
            car_storage=row.car_storage,
            dead_at=moment_or_none(row.dead_at),
            dead_reason=row.dead_reason,
            **more,
        )


class StagedCarFacts(CarFacts):
    """A built CAR, and whether its file is in staging_dir."""

    in_staging: bool | None = field(
        "in staging",
        "Whether a file of its name is in staging_dir; of a generated CAR: its outline. "
        "Null: staging_dir can't be listed.",
    )


class ReleasedFacts(CarFacts):
    """A CAR, and what `ptolemy release` did with it."""

    done: str = field("done", "What changed, in words, or that nothing had to.")
    warning: str | None = field("warning", "What to know before going further.")


class SummaryCarFacts(CarFacts):
    """A CAR in the summary of a manifest."""

    url: str | None = field("URL", "Where it can be fetched, if a template was given.")
    stored_by: list[str] = field("stored by", "Addresses of the providers with an active deal of its piece.")


class RootFacts(Facts):
    """The root of a whole data set as one scan saw it, and the CAR with the folder nodes that link all CARs."""

    project: str = field("project", "Name of the project.")
    scan: int = field("scan", "The scan that saw this tree.")
    root_cid: str = field("root CID", "CID of the whole folder, and root of this CAR.", Unit.CID)
    entries: int = field("entries", "Files, links and empty folders below it.")
    data_bytes: int = field("data", "Bytes of files below it.", Unit.BYTES)
    left_out: int = field("left out", "Entries of the scan that are in no CAR, so not below it.")
    piece_cid: str = field("piece CID", "Piece CID v1 of its CAR.", Unit.CID)
    piece_cid_v2: str = field("piece CID v2", "Piece CID v2 of its CAR.", Unit.CID)
    car_size: int = field("CAR size", "Bytes of its CAR.", Unit.BYTES)
    piece_size: int = field("piece size", "Bytes of the padded piece: a power of two.", Unit.BYTES)
    blocks: int = field("blocks", "In its CAR: folders, and nodes of split files above their shards.")
    sha256: str = field("sha256", "SHA-256 of its CAR, hex.", Unit.HEX)
    file_name: str = field("file", "Name of its CAR in staging_dir: <piece_cid>.car.")
    built_at: Moment = field("built", "When it was built.")
    build_seconds: float = field("build time", "Seconds that its build took.", Unit.SECONDS)
    delivered_at: Moment | None = field("delivered", "When its CAR was marked as delivered; null: it isn't.")
    delivered_to: str | None = field("delivered to", "What was noted of where it went.")

    @classmethod
    def of(cls, row: RootRow, **more: object) -> Self:
        """A row of the catalog; `more` are the fields that a derived model has besides."""
        return cls(
            project=row.project,
            scan=row.scan,
            root_cid=cid.to_text(row.root_cid),
            entries=row.entries,
            data_bytes=row.data_bytes,
            left_out=row.left_out,
            piece_cid=cid.to_text(row.piece_cid_v1),
            piece_cid_v2=cid.to_text(row.piece_cid_v2),
            car_size=row.car_size,
            piece_size=row.piece_size,
            blocks=row.blocks,
            sha256=row.sha256.hex(),
            file_name=row.file_name,
            built_at=moment(row.built_at),
            build_seconds=row.build_seconds,
            delivered_at=moment_or_none(row.delivered_at),
            delivered_to=row.delivered_to,
            **more,
        )


class ReleasedRootFacts(RootFacts):
    """The root of a data set, and what `ptolemy release` did with its CAR."""

    done: str = field("done", "What changed, in words, or that nothing had to.")
    warning: str | None = field("warning", "What to know before going further.")


class SummaryRootFacts(RootFacts):
    """A data set's root in the summary of a manifest."""

    url: str | None = field("URL", "Where its CAR can be fetched, if a template was given.")
