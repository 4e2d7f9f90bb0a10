"""Uploading the piece of a deal that is made by push: its CAR, staged or generated, in chunks, only those missing."""

from collections.abc import Sequence

from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.deals import DealState, Engine, Fault, Proposal, Push, Report
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.curio_upload import CHUNK, upload_chunks, upload_whole
from ptolemy_core.errors import DealError, DealRefusedError, OutlineError, SourceError, StagingError
from ptolemy_core.staging.stored import OpenCar, StoredCar

_SMALL = 16 << 20
"""Bytes up to which a piece is sent in one request: the smallest chunk that providers take."""

_UNREADABLE = (SourceError, OutlineError, StagingError)


def is_due(row: DealRow, report: Report) -> bool:
    """Whether a provider waits for the bytes of a deal."""
    return row.transfer == "push" and report.state in (DealState.ACCEPTED, DealState.TRANSFERRING)


def upload(engine: Engine, proposal: Proposal, choice: Sequence[StoredCar]) -> None:
    """Upload the piece of an accepted deal; nothing, if the provider has it already.

    Args:
        engine: of the deal.
        proposal: of the deal.
        choice: CARs with that piece, the best first.

    Raises:
        DealError: none of them can be read; or as `upload_chunks` does.
    """
    if not isinstance(engine, CurioEngine) or not isinstance(proposal.source, Push):
        return
    piece = _Piece(_opened(proposal, choice))
    try:
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
        piece.close()


def _opened(proposal: Proposal, choice: Sequence[StoredCar]) -> OpenCar:
    why: Exception | str = "no project has a CAR of this piece"
    for stored in choice:
        try:
            return stored.open()
        except _UNREADABLE as error:
            why = error
    raise DealError(
        f"the piece {proposal.piece.cid_v1} can't be read, and the deal {proposal.id} waits for its bytes: {why}"
    )


class _Piece:
    """A CAR as `curio_upload` reads it."""

    def __init__(self, car: OpenCar) -> None:
        self._car = car
        self.size = car.size

    def read(self, offset: int, length: int) -> bytes:
        """A range of it."""
        try:
            return self._car.read(offset, length)
        except _UNREADABLE as error:
            raise DealError(str(error)) from error

    def close(self) -> None:
        """Close the CAR."""
        self._car.close()
