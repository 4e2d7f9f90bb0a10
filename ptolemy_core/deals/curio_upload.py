"""Uploading a piece to Curio after it accepted a deal with the source `Push`: in one request, or in chunks.

Chunks can be resumed: the provider says which it has. What isn't finished is dropped by the provider an hour later;
uploading then starts again.
"""

import json
from collections.abc import Callable
from typing import Final, Protocol

from ptolemy_core.deals.curio_http import BYTES, JSON, CurioClient
from ptolemy_core.deals.faults import Fault
from ptolemy_core.deals.transport import Answer
from ptolemy_core.errors import DealRefusedError

CHUNK: Final = 64 << 20
"""Bytes of a chunk; providers take powers of two, 16 to 256 MiB unless they are set up differently."""

_READ: Final = 1 << 20


class PieceReader(Protocol):
    """Gives bytes of a piece's CAR."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """A range of it, of exactly that length."""


class _Part:
    """A range of a piece as the body of a request; it is read while it is sent."""

    def __init__(self, piece: PieceReader, offset: int, length: int) -> None:
        self._piece = piece
        self._at = offset
        self._end = offset + length
        self._length = length

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        length = min(self._end - self._at, _READ if size < 0 else min(size, _READ))
        if length <= 0:
            return b""
        data = self._piece.read(self._at, length)
        self._at += len(data)
        return data


def upload_whole(client: CurioClient, deal: str, piece: PieceReader) -> None:
    """Upload a piece in one request, and say that it is complete.

    Args:
        client: of the deal's provider.
        deal: its ID.
        piece: what to upload.

    Raises:
        DealRefusedError: the provider refuses it.
        ProviderAwayError: it broke off: call again.
    """
    _check(client, client.call("PUT", f"/upload/{deal}", _Part(piece, 0, piece.size), BYTES), "the upload")
    _check(client, client.call("POST", f"/upload/{deal}"), "the end of the upload")


def upload_chunks(
    client: CurioClient,
    deal: str,
    piece: PieceReader,
    chunk: int = CHUNK,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Upload a piece in chunks, those that the provider lacks, and say that it is complete.

    Args:
        client: of the deal's provider.
        deal: its ID.
        piece: what to upload.
        chunk: bytes of a chunk, a power of two, where the upload isn't started yet.
        progress: told the bytes of each chunk that is there.

    Raises:
        DealRefusedError: the provider refuses it; `fault` is unknown-deal where it waits for no upload.
        ProviderAwayError: it broke off: call again, and it resumes.
    """
    for number, offset, length in _missing(client, deal, piece, chunk):
        answer = client.call("PUT", f"/uploads/{deal}/{number}", _Part(piece, offset, length), BYTES)
        if answer.status != 409:  # 409: it has this chunk, the answer to an earlier request was lost
            _check(client, answer, f"chunk {number}")
        if progress is not None:
            progress(length)
    _check(client, client.call("POST", f"/uploads/finalize/{deal}"), "the end of the upload")


def _missing(client: CurioClient, deal: str, piece: PieceReader, chunk: int) -> list[tuple[int, int, int]]:
    """The chunks that the provider lacks: number, offset and length. Starts the upload where it isn't started."""
    answer = client.call("GET", f"/uploads/{deal}")
    if answer.status == 425:
        body = json.dumps({"raw_size": piece.size, "chunk_size": chunk}).encode()
        started = client.call("POST", f"/uploads/{deal}", body, JSON)
        if started.status != 409:  # 409: another request started it meanwhile
            _check(client, started, "the start of the upload")
        answer = client.call("GET", f"/uploads/{deal}")
    _check(client, answer, "the question for the upload's state")
    try:
        value = json.loads(answer.body)
        total, missing = int(value["total_chunks"]), [int(number) for number in value["missing_chunks"] or []]
    except (ValueError, KeyError, TypeError, RecursionError):
        total, missing = 0, []
    size = _chunk_size(piece.size, total, chunk)
    if not size or any(not 1 <= number <= total for number in missing):
        raise DealRefusedError(
            f"provider {client.provider.address} has the upload of {deal} in {total} chunks, which isn't how this "
            "piece can be cut: wait an hour until it drops the upload, then try again",
            Fault.UPLOAD_REFUSED,
        )
    return [(number, (number - 1) * size, min(size, piece.size - (number - 1) * size)) for number in missing]


def _chunk_size(size: int, total: int, chunk: int) -> int:
    """The bytes of a chunk of a started upload: ours, or the power of two that gives so many; 0: none does."""
    if -(-size // chunk) == total:
        return chunk
    fits = [1 << bits for bits in range(20, 37) if -(-size // (1 << bits)) == total]
    return fits[0] if fits else 0


def _check(client: CurioClient, answer: Answer, what: str) -> None:
    """Refuse what isn't 200.

    Raises:
        DealRefusedError: it isn't.
    """
    if answer.status == 200:
        return
    fault = Fault.UNKNOWN_DEAL if answer.status == 404 else Fault.UPLOAD_REFUSED
    raise DealRefusedError(
        f"provider {client.provider.address} refuses {what} ({answer.status}{client.words(answer)})", fault
    )
