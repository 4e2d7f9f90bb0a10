"""A CAR of any maker, as `ptolemy inspect` finds it."""

from collections.abc import Collection
from typing import Self

from ptolemy_core.facts.fields import Facts, Unit, field
from ptolemy_core.reader.findings import Finding
from ptolemy_core.reader.hashes import cid_text
from ptolemy_core.reader.survey import Survey


class FindingFacts(Facts):
    """Something that is wrong with a CAR."""

    code: str = field("code", "What kind of fault it is.")
    offset: int = field("offset", "Byte of the file where it is.")
    message: str = field("message", "What is wrong.")

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """A finding of the reader."""
        return cls(code=str(finding.code), offset=finding.offset, message=finding.message)


class InspectedFacts(Facts):
    """What one reading of a CAR found."""

    path: str = field("path", "The file.")
    size: int = field("size", "Bytes of the file.", Unit.BYTES)
    version: int | None = field("CAR version", "1 or 2; null: the header can't be read.")
    sound: bool = field("sound", "Whether every block that can be checked is what its CID says.")
    whole: bool = field("whole", "Whether all that it links to is in it, or in the CARs read with it.")
    roots: list[str] = field("roots", "Root CIDs of the header; of Ptolemy's CARs one, the payload CID.")
    piece_cid: str | None = field("piece CID", "Piece CID v1 of the file.", Unit.CID)
    piece_cid_v2: str | None = field("piece CID v2", "Piece CID v2 of the file.", Unit.CID)
    piece_size: int | None = field("piece size", "Bytes of the padded piece.", Unit.BYTES)
    sha256: str | None = field("sha256", "SHA-256 of the file, hex.", Unit.HEX)
    blocks: int = field("blocks", "How many.")
    block_bytes: int = field("bytes of blocks", "Bytes of data in them.", Unit.BYTES)
    codecs: dict[str, int] = field("codecs", "How many blocks are of each codec.")
    hashes: dict[str, int] = field("hashes", "How many CIDs use each hash function.")
    missing: list[str] = field("missing", "Some CIDs that it links to and that are in none of these CARs.")
    profile: bool = field("profile", "Whether it is as Ptolemy builds CARs.")
    profile_fault: str | None = field("differs", "How it differs from a CAR that Ptolemy builds.")
    odd: list[str] = field("odd", "What is unusual about it.")
    findings: list[FindingFacts] = field("findings", "What is wrong, at most the first 100.")

    @classmethod
    def of(cls, path: str, survey: Survey, elsewhere: Collection[bytes] = ()) -> Self:
        """A survey of the reader; `elsewhere`: CIDs of blocks in CARs that were read with it."""
        found, fault = survey.inspection, survey.profile_fault
        return cls(
            path=path,
            size=survey.size,
            version=found.version,
            sound=survey.is_sound,
            whole=survey.is_sound and not survey.missing.difference(elsewhere),
            roots=[cid_text(root) for root in found.roots],
            piece_cid=None if survey.piece_cid_v1 is None else cid_text(survey.piece_cid_v1),
            piece_cid_v2=None if survey.piece_cid_v2 is None else cid_text(survey.piece_cid_v2),
            piece_size=survey.piece_size,
            sha256=None if survey.sha256 is None else survey.sha256.hex(),
            blocks=found.blocks,
            block_bytes=found.block_bytes,
            codecs={_CODECS.get(code, f"0x{code:x}"): count for code, count in found.codecs.items()},
            hashes={_HASHES.get(code, f"0x{code:x}"): count for code, count in found.hashes.items()},
            missing=[cid_text(one) for one in sorted(survey.missing.difference(elsewhere))[:_SAMPLE]],
            profile=fault is None,
            profile_fault=None if fault is None else f"{fault.code} at byte {fault.offset}: {fault.message}",
            odd=list(survey.oddities(elsewhere)),
            findings=[FindingFacts.of(one) for one in found.findings],
        )


_SAMPLE = 10
_CODECS = {0x55: "raw", 0x70: "dag-pb", 0x71: "dag-cbor", 0x72: "libp2p-key", 0x0129: "dag-json"}
_HASHES = {0x00: "identity", 0x12: "sha2-256", 0x13: "sha2-512", 0x1E: "blake3", 0xB220: "blake2b-256"}
