"""What happens to a deal after it was accepted: its data comes, is compared with its piece CID, and is "sealed"."""

import queue
import threading
from typing import Any, BinaryIO

from ptolemy_core.commp import PieceCommitment
from tests.provider.fetch import FetchError, fetch
from tests.provider.rules import piece_of
from tests.provider.store import Deal, Store

_AFTER = ("sealing", "indexing", "complete")


class Worker:
    """Threads that move deals forward. A deal that was under way when the provider stopped starts again."""

    def __init__(self, store: Store, seconds: float, pause: float, threads: int = 2) -> None:
        self._store = store
        self._seconds = seconds
        self._pause = pause
        self._stopping = threading.Event()
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        for deal in store.deals():
            if deal.state not in ("complete", "failed") and not deal.upload:
                self._queue.put(deal.id)

    def add(self, id: str) -> None:
        """Work on a deal whose data can be had."""
        self._queue.put(id)

    def stop(self) -> None:
        """End the threads between two steps."""
        self._stopping.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        while (id := self._queue.get()) is not None and not self._stopping.is_set():
            deal = self._store.deal(id)
            if deal is not None:
                self._advance(deal)

    def _advance(self, deal: Deal) -> None:
        if deal.body["data"].get("source_offline") is not None:
            return  # an operator would import its data
        if deal.state not in _AFTER:
            self._store.set(deal.id, "processing")
            try:
                self._check(deal)
            except (FetchError, OSError, ValueError) as error:
                if not self._stopping.is_set():
                    self._store.set(deal.id, "failed", str(error))
                return
        start = _AFTER.index(deal.state) if deal.state in _AFTER else 0
        for state in _AFTER[start:]:
            if self._stopping.wait(self._seconds):
                return
            self._store.set(deal.id, state)

    def _check(self, deal: Deal) -> None:
        piece = piece_of(deal.body)
        data: dict[str, Any] = deal.body["data"]
        size = piece.payload_size or 0
        kept = self._store.piece(piece.root)
        part = kept.with_suffix(f".{deal.id}")
        with part.open("wb") as file:
            if data.get("source_http_put") is not None:
                commitment = self._uploaded(deal.id, file)
            else:
                commitment = self._fetch(data["source_http"]["urls"], size, file)
        if commitment.size != size or commitment.digest() != piece.root:
            part.unlink()
            raise FetchError(f"commP mismatch: expected {piece.root.hex()}, got {commitment.hexdigest()}")
        part.replace(kept)

    def _fetch(self, urls: list[dict[str, Any]], size: int, file: BinaryIO) -> PieceCommitment:
        for number, url in enumerate(urls, 1):
            file.seek(0)
            file.truncate()
            try:
                return fetch(url["url"], url.get("headers") or {}, size, self._pause, file.write)
            except FetchError:
                if number == len(urls):
                    raise
        raise FetchError("no urls")

    def _uploaded(self, id: str, kept: BinaryIO) -> PieceCommitment:
        commitment = PieceCommitment()
        numbers = [number for number, _, _ in self._store.chunks(id)] or [0]
        for number in numbers:
            with self._store.file(id, number).open("rb") as file:
                while part := file.read(1 << 20):
                    commitment.update(part)
                    kept.write(part)
        return commitment
