"""Uploading the piece of a deal that is made by push: its staged CAR, in chunks, only those that are missing."""

import os

from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.deals import DealState, Engine, Fault, Proposal, Push, Report
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.curio_upload import CHUNK, upload_chunks, upload_whole
from ptolemy_core.errors import DealError, DealRefusedError
from ptolemy_core.project import Project
from ptolemy_core.staging.area import area_of

_SMALL = 16 << 20
"""Bytes up to which a piece is sent in one request: the smallest chunk that providers take."""


def is_due(row: DealRow, report: Report) -> bool:
    """Whether a provider waits for the bytes of a deal."""
    return row.transfer == "push" and report.state in (DealState.ACCEPTED, DealState.TRANSFERRING)


def upload(engine: Engine, proposal: Proposal, project: Project) -> None:
    """Upload the piece of an accepted deal; nothing, if the provider has it already.

    Raises:
        DealError: the CAR isn't in staging_dir; or as `upload_chunks` does.
    """
    if not isinstance(engine, CurioEngine) or not isinstance(proposal.source, Push):
        return
    name = f"{proposal.piece.cid_v1}.car"
    path = area_of(project).path(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise DealError(
            f"{path} can't be read ({error.strerror}), and the deal {proposal.id} waits for its bytes: put it back, "
            f"or build it again (ptolemy blitz {project.name})"
        ) from None
    try:
        piece = _StagedPiece(descriptor, proposal.piece.size, path)
        client = engine.client(proposal)
        if piece.size <= _SMALL:
            upload_whole(client, proposal.id, piece)
        else:
            upload_chunks(client, proposal.id, piece, CHUNK)
    except DealRefusedError as error:
        if error.fault != Fault.UNKNOWN_DEAL:
            raise
        # it waits for no upload: it has the bytes
    finally:
        os.close(descriptor)


class _StagedPiece:
    """A staged CAR as `curio_upload` reads it."""

    def __init__(self, descriptor: int, size: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """A range of it."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) != length:
            raise DealError(f"{self._path} is shorter than its CAR: build it again")
        return data
