"""A stand-in for a storage provider with Curio's Market 2.0 (MK20) API: for tests, and to try Ptolemy without one.

No real Curio was available where this was written. The rules are those of Curio's source at commit e0294b0f (August
2026), directories market/mk20 and lib/robusthttp: routes, order of checks, codes and texts, the signature and its
window of a minute, rates, sizes of chunks, and how a piece is fetched. It shares no code with the client but
addresses, piece CIDs and piece commitments, and recovers public keys with coincurve.

What differs from a provider: there is no chain (allocations are told by whoever starts it), nothing is sealed (states
follow each other after a time that can be set), it fetches from private addresses too, and it does neither PDP nor
aggregates nor contracts. A fault can be injected into any route; see `faults`.

`python -m tests.provider --help` starts one as a process.
"""

from tests.provider.faults import Faults
from tests.provider.rules import Allocation, Market
from tests.provider.server import ProviderServer

__all__ = ["Allocation", "Faults", "Market", "ProviderServer"]
