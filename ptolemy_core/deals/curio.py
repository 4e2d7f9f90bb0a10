"""Deals with Curio's Market 2.0 (MK20): direct data onboarding (ddo_v1) with retrieval (retrieval_v1).

Three traps of the API are handled here. An ID that was used before is answered with 500, so whatever isn't a clear
answer leads to a question for the status. An unknown ID is answered with 401, like a wrong signature; a request
without an ID then tells which it is. And Curio ends its own slow requests with 503 while it may still do the work.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from ptolemy_core.deals.curio_http import JSON, Clock, CurioClient, with_secrets
from ptolemy_core.deals.engine import Report, Terms
from ptolemy_core.deals.faults import Fault
from ptolemy_core.deals.proposal import Offline, Proposal, Provider, Pull, Push
from ptolemy_core.deals.redaction import redact
from ptolemy_core.deals.states import DealState
from ptolemy_core.deals.transport import Answer, Transport
from ptolemy_core.errors import (
    DealError,
    DealRefusedError,
    DealUnknownError,
    ProposalError,
    ProviderAuthError,
)
from ptolemy_core.keys.wallets import Wallet

STATES: Final[dict[str, DealState]] = {
    "accepted": DealState.ACCEPTED,
    "uploading": DealState.TRANSFERRING,
    "processing": DealState.TRANSFERRING,
    "sealing": DealState.SEALING,
    "indexing": DealState.INDEXING,
    "complete": DealState.ACTIVE,
    "failed": DealState.FAILED,
}
"""What Curio's words mean."""

FAULTS: Final[dict[int, tuple[Fault, str]]] = {
    400: (Fault.PROVIDER_BAD_PROPOSAL, "says that the proposal is wrong"),
    404: (Fault.UNKNOWN_DEAL, "has no such deal"),
    422: (Fault.SOURCE_UNSUPPORTED, "doesn't take data in this way"),
    423: (Fault.PRODUCT_UNKNOWN, "doesn't know this kind of deal"),
    424: (Fault.PRODUCT_OFF, "has this kind of deal turned off"),
    425: (Fault.PRODUCT_INVALID, "says that the conditions are wrong"),
    426: (Fault.REJECTED_BY_MARKET, "rejected the deal"),
    430: (Fault.PROVIDER_BAD_SOURCE, "says that the source is wrong"),
    440: (Fault.MARKET_OFF, "has its market turned off"),
    441: (Fault.DURATION_TOO_SHORT, "wants a longer duration"),
}
"""What Curio's codes mean (`market/mk20/types.go`); 401, 429 and 5xx are in `curio_http`."""

_SOURCES: Final[dict[str, type[Pull] | type[Push] | type[Offline]]] = {
    "http": Pull,
    "put": Push,
    "offline": Offline,
}
_PRODUCTS: Final = ("ddo_v1", "retrieval_v1")


class CurioEngine:
    """The engine `curio`."""

    name = "curio"

    def __init__(
        self,
        find_wallet: Callable[[str], Wallet],
        transport: Transport | None = None,
        clock: Clock = time.time,
        seconds: float = 30.0,
    ) -> None:
        """An engine.

        Args:
            find_wallet: gives the wallet of an alias, such as `open_wallets(home).find`.
            transport: that sends requests.
            clock: that signatures are made by.
            seconds: to wait for an answer.
        """
        self._find_wallet = find_wallet
        if transport is None:
            from ptolemy_core.deals.http_transport import HttpTransport  # needs requests

            transport = HttpTransport()
        self._transport = transport
        self._clock = clock
        self._seconds = seconds

    def accepts(self, provider: Provider, wallet: str) -> Terms:
        """What a provider takes now; see `Engine`."""
        client = self._client(provider, wallet)
        products = _names(client, "products")
        missing = [name for name in _PRODUCTS if name not in products]
        if missing:
            raise DealRefusedError(
                f"provider {provider.address} has {' and '.join(missing)} turned off, which a deal needs: "
                "use another provider",
                Fault.PRODUCT_OFF,
            )
        sources = _names(client, "sources")
        return Terms(frozenset(kind for name, kind in _SOURCES.items() if name in sources))

    def propose(self, proposal: Proposal, *, sent: bool) -> Report:
        """Propose a deal; see `Engine`."""
        Terms(frozenset(_SOURCES.values())).check(proposal)
        client = self.client(proposal)
        if sent:
            known = self._known(client, proposal)
            if known is not None:
                return known
        try:
            answer = client.call("POST", "/deal", encode(proposal), JSON)
        except DealUnknownError:
            # Whatever happens now, the ID makes it one deal: a second proposal of it is answered with 500.
            known = self._known(client, proposal)
            if known is not None:
                return known
            raise
        if answer.status != 200:
            raise _refusal(client, answer)
        if not answer.text.startswith("Reason:"):  # somebody else's 200, such as a proxy's
            known = self._known(client, proposal)
            if known is None:
                raise _unexpected(client, answer)
            return known
        return Report(DealState.ACCEPTED, client.words(answer).removeprefix(": "))

    def status(self, proposal: Proposal) -> Report:
        """What the provider says of a deal; see `Engine`."""
        client = self.client(proposal)
        report = self._known(client, proposal)
        if report is None:
            raise DealRefusedError(
                f"provider {proposal.provider.address} has no deal {proposal.id} of this wallet: it never arrived or "
                "the provider's records are lost",
                Fault.UNKNOWN_DEAL,
            )
        return report

    def update(self, proposal: Proposal) -> Report:
        """Send what a deal at the provider lacks; fields that it has aren't changed by that."""
        client = self.client(proposal)
        answer = client.call("POST", f"/update/{proposal.id}", encode(proposal), JSON)
        if answer.status != 200:
            raise _refusal(client, answer)
        return Report(DealState.ACCEPTED, client.words(answer).removeprefix(": "))

    def client(self, proposal: Proposal) -> CurioClient:
        """A client for a proposal, which keeps the proposal's secrets out of messages.

        Raises:
            ProposalError: the wallet's address isn't the deal's client. A provider says of another's deals that it
                has none, so it must not be asked.
        """
        client = self._client(proposal.provider, proposal.wallet)
        address = client.wallet.address(proposal.network)
        if address != proposal.client:
            raise ProposalError(
                f"the wallet {proposal.wallet} has the address {address}, and its deals with "
                f"{proposal.provider.address} are those of {proposal.client}: put that address's key back under the "
                "alias; until then they stay as they are, and nothing is sent",
                Fault.BAD_CLIENT,
            )
        return with_secrets(client, proposal.secrets())

    def _client(self, provider: Provider, wallet: str) -> CurioClient:
        found = self._find_wallet(wallet)
        return CurioClient(provider, found, self._transport, self._clock, self._seconds)

    def _known(self, client: CurioClient, proposal: Proposal) -> Report | None:
        """The deal's status; None where the provider has no such deal."""
        path = f"/status/{proposal.id}"
        try:
            answer = client.call("GET", path)
        except ProviderAuthError as error:
            if error.fault == Fault.CLOCK_OFF:
                raise
            client.call("GET", "/products")  # raises the same error if it is the wallet that isn't accepted
            try:
                answer = client.call("GET", path)  # once more, lest a passing error makes the deal unknown
            except ProviderAuthError:
                return None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _refusal(client, answer)
        return decode_status(client, answer)


def encode(proposal: Proposal) -> bytes:
    """A proposal as Curio's JSON. It has the URLs: for the provider alone."""
    conditions = proposal.conditions
    product: dict[str, Any] = {
        "provider": str(proposal.provider.address),
        "start_epoch": conditions.start_epoch,
        "duration": conditions.duration,
    }
    if conditions.allocation_id is not None:
        product["allocation_id"] = conditions.allocation_id
    retrieval = {
        "indexing": conditions.indexing,
        "announce_payload": conditions.announce,
        "announce_piece": False,
    }
    data = {"piece_cid": {"/": proposal.piece.cid}, "format": {"car": {}}, **_source(proposal)}
    value = {
        "identifier": proposal.id,
        "client": str(proposal.client),
        "data": data,
        "products": {"ddo_v1": product, "retrieval_v1": retrieval},
    }
    return json.dumps(value, separators=(",", ":")).encode()


def decode_status(client: CurioClient, answer: Answer) -> Report:
    """The report of an answer to a question for the status.

    Raises:
        DealError: it isn't such an answer.
    """
    try:
        value = json.loads(answer.body)["ddo_v1"]
        state = STATES[value["status"]]
        message = value.get("errorMsg") or ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _unexpected(client, answer) from None
    return Report(state, redact(str(message), client.secrets))


def _source(proposal: Proposal) -> dict[str, Any]:
    if isinstance(proposal.source, Push):
        return {"source_http_put": {}}
    if isinstance(proposal.source, Offline):
        return {"source_offline": {}}
    urls = []
    for number, source in enumerate(proposal.source.urls):
        headers: dict[str, list[str]] = {}
        for name, value in source.headers:
            headers.setdefault(name, []).append(value)
        urls.append({"url": source.url, "headers": headers, "priority": number, "fallback": number > 0})
    return {"source_http": {"urls": urls}}


def _names(client: CurioClient, what: str) -> list[str]:
    """The names in a provider's list of products or sources."""
    answer = client.call("GET", f"/{what}")
    if answer.status != 200:
        raise _refusal(client, answer)
    try:
        names = json.loads(answer.body)[what] or []  # Go writes an empty list as null
        if not all(isinstance(name, str) for name in names):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _unexpected(client, answer) from None
    return list(names)


def _refusal(client: CurioClient, answer: Answer) -> DealError:
    fault, text = FAULTS.get(answer.status, (Fault.UNEXPECTED_ANSWER, ""))
    if not text:
        return _unexpected(client, answer)
    return DealRefusedError(
        f"provider {client.provider.address} {text} ({answer.status}{client.words(answer)})", fault
    )


def _unexpected(client: CurioClient, answer: Answer) -> DealError:
    moved = ", a redirect; give the URL that it leads to" if 300 <= answer.status < 400 else ""
    return DealError(
        f"provider {client.provider.address} answered with something that isn't Curio's Market 2.0 (status "
        f"{answer.status}{moved}{client.words(answer)}): see whether {client.provider.url} is right, and whether its "
        "Curio is 1.27.4 or newer",
        Fault.UNEXPECTED_ANSWER,
    )
