"""Uploads to the stand-in for Curio: whole and in chunks, resumed after each kind of break."""

import random

import pytest

from ptolemy_core.deals import DealState, Fault, Proposal, Push
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.curio_upload import upload_chunks, upload_whole
from ptolemy_core.errors import DealRefusedError, ProviderAwayError, SourceChangedError
from tests.deals.conftest import Make, wait_for
from tests.provider import ProviderServer

CHUNK = 1 << 16
DATA = random.Random(1).randbytes(5 * CHUNK + 12_345)
PUT = "PUT /uploads/{id}/{number}"


class Bytes:
    """A piece in memory."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.read_bytes = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self.data[offset : offset + length]


@pytest.fixture
def pushed(engine: CurioEngine, make: Make, provider: ProviderServer) -> Proposal:
    """A deal that waits for its upload."""
    provider.market.min_chunk = CHUNK
    proposal = make(Push(), data=DATA)
    engine.propose(proposal, sent=False)
    assert engine.status(proposal).state == DealState.TRANSFERRING
    return proposal


def test_a_piece_is_uploaded_whole(engine: CurioEngine, pushed: Proposal) -> None:
    upload_whole(engine.client(pushed), pushed.id, Bytes())
    wait_for(engine, pushed, DealState.ACTIVE)


def test_other_bytes_are_refused(engine: CurioEngine, pushed: Proposal) -> None:
    with pytest.raises(DealRefusedError, match="piece CID does not match"):
        upload_whole(engine.client(pushed), pushed.id, Bytes(bytes(len(DATA))))
    upload_whole(engine.client(pushed), pushed.id, Bytes())
    wait_for(engine, pushed, DealState.ACTIVE)


def test_a_piece_is_uploaded_in_chunks(
    engine: CurioEngine, pushed: Proposal, provider: ProviderServer
) -> None:
    done: list[int] = []
    upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK, done.append)
    assert done == [CHUNK] * 5 + [12_345]
    assert provider.requests.count(PUT) == 6
    wait_for(engine, pushed, DealState.ACTIVE)


@pytest.mark.parametrize("fault", ["500", "500-after", "no-answer", "no-answer-after", "429", "503-after"])
def test_a_broken_upload_resumes_with_the_chunks_that_are_missing(
    engine: CurioEngine, pushed: Proposal, provider: ProviderServer, fault: str
) -> None:
    piece = Bytes()
    client = engine.client(pushed)
    half = len(DATA) // 2

    def strike(_: int) -> None:
        if piece.read_bytes >= half and fault:
            provider.faults.add(PUT, fault)
            piece.read_bytes = -(10**9)

    with pytest.raises(ProviderAwayError):
        upload_chunks(client, pushed.id, piece, CHUNK, strike)
    provider.requests.clear()
    upload_chunks(client, pushed.id, Bytes(), CHUNK)
    assert 2 <= provider.requests.count(PUT) <= 3
    wait_for(engine, pushed, DealState.ACTIVE)


def test_an_upload_that_was_started_with_other_chunks_is_resumed_with_those(
    engine: CurioEngine, pushed: Proposal, provider: ProviderServer
) -> None:
    provider.store.start_chunks(pushed.id, [len(DATA)])
    upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK)
    wait_for(engine, pushed, DealState.ACTIVE)


def test_an_upload_that_was_dropped_starts_anew(
    engine: CurioEngine, pushed: Proposal, provider: ProviderServer
) -> None:
    provider.faults.add(PUT, "500")
    with pytest.raises(ProviderAwayError):
        upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK)
    provider.store.reset_upload(pushed.id)
    upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK)
    wait_for(engine, pushed, DealState.ACTIVE)


@pytest.mark.parametrize("chunk", [CHUNK // 2, CHUNK + 1])
def test_a_size_of_chunks_that_the_provider_refuses_is_named(
    engine: CurioEngine, pushed: Proposal, chunk: int
) -> None:
    with pytest.raises(DealRefusedError, match="the start of the upload .*chunk size") as caught:
        upload_chunks(engine.client(pushed), pushed.id, Bytes(), chunk)
    assert caught.value.fault == Fault.UPLOAD_REFUSED


def test_a_finished_upload_is_not_started_again(engine: CurioEngine, pushed: Proposal) -> None:
    upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK)
    with pytest.raises(DealRefusedError) as caught:
        upload_chunks(engine.client(pushed), pushed.id, Bytes(), CHUNK)
    assert caught.value.fault == Fault.UNKNOWN_DEAL
    wait_for(engine, pushed, DealState.ACTIVE)


def test_a_source_that_changed_ends_the_upload_with_its_own_error(
    engine: CurioEngine, pushed: Proposal
) -> None:
    class Changed(Bytes):
        def read(self, offset: int, length: int) -> bytes:
            raise SourceChangedError("a.txt changed since the scan")

    with pytest.raises(SourceChangedError):
        upload_chunks(engine.client(pushed), pushed.id, Changed(), CHUNK)
