"""WebSockets, counted with a server's other connections."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ptolemy_dagster.http.admission import Connections, network


class CountedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, counted with the other connections; pings end the dead ones.

    The one that was quiet for longest makes room for others: Dagster's web UI connects again by itself.
    """

    def __init__(self, open_ones: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waits_since: float | None = time.monotonic()
        self._open = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it: it was admitted when it connected."""
        super().connection_made(transport)
        self._open.count(self, network(self.client[0] if self.client else ""))

    def data_received(self, data: bytes) -> None:
        """Take a part of a message."""
        self.waits_since = time.monotonic()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._open.forget(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """Close it at once."""
        self.transport.abort()
