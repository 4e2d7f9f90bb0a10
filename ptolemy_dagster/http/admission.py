"""Which connections a server admits: how many at once, and how many of one address."""

import ipaddress
import resource
from dataclasses import dataclass
from typing import Protocol

BACKLOG = 128
"""Connections that the system keeps until they are accepted; so many are accepted before the first is looked at."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one server.

    Attributes:
        total: connections at once.
        per_address: of them, of one address (of one /64 network, where it is IPv6).
        head_bytes: of a request's line and headers together.
        head_seconds: from a connection's begin, or a request's first byte, until its headers are complete.
        body_seconds: from there until its body is complete.
        stalled_seconds: that an answer may wait for a client that doesn't read it.
        idle_seconds: that a connection is kept open for another request.
    """

    total: int = 512
    per_address: int = 256
    head_bytes: int = 32 << 10
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    stalled_seconds: float = 30.0
    idle_seconds: int = 30

    @classmethod
    def of_machine(cls) -> "ConnectionLimits":
        """The defaults, with no more connections than half of the descriptors that this process may open."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        total = max(16, min(cls().total, descriptors // 2 - BACKLOG))
        return cls(total=total, per_address=max(8, total // 2))


def network(address: str) -> str:
    """What counts as one client: an address; of IPv6, where a client has very many, its /64 network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class Connection(Protocol):
    """What is counted."""

    waits_since: float | None
    """When it began to wait for its client; None while the client waits for it."""

    def end(self) -> None:
        """Close it at once."""


class Connections:
    """The open connections of a server, by address."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._by_address: dict[str, set[Connection]] = {}
        self._address_of: dict[Connection, str] = {}

    def __len__(self) -> int:
        return len(self._address_of)

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a connection; where there are too many, the one that waits longest for its client is ended.

        Returns:
            False if there are too many, and none of them waits.
        """
        own = self._by_address.get(address, set())
        if len(own) >= self.limits.per_address and not self._end_longest_waiting(own):
            return False
        if len(self) >= self.limits.total:
            largest = max(self._by_address.values(), key=len)
            if not self._end_longest_waiting(largest) and not self._end_longest_waiting(
                set(self._address_of)
            ):
                return False
        self.count(connection, address)
        return True

    def count(self, connection: Connection, address: str) -> None:
        """Count a connection, whatever the limits say."""
        self._by_address.setdefault(address, set()).add(connection)
        self._address_of[connection] = address

    def forget(self, connection: Connection) -> None:
        """Don't count a connection any more."""
        address = self._address_of.pop(connection, None)
        if address is None:
            return
        of_address = self._by_address[address]
        of_address.discard(connection)
        if not of_address:
            del self._by_address[address]

    def _end_longest_waiting(self, among: set[Connection]) -> bool:
        waiting = [one for one in among if one.waits_since is not None]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda one: one.waits_since or 0.0)
        self.forget(oldest)
        oldest.end()
        return True
