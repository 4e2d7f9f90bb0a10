"""Requests to Curio's Market 2.0 (MK20) API: signed, sent, and their failures told apart.

The rules are those of Curio's source at commit e0294b0f (August 2026), directory market/mk20: since Curio 1.27.4 a
signature covers the client's address, the method, the path and the minute.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn
from urllib.parse import urlsplit

from ptolemy_core.address import Network
from ptolemy_core.deals.faults import Fault
from ptolemy_core.deals.proposal import Provider
from ptolemy_core.deals.redaction import redact
from ptolemy_core.deals.transport import Answer, Body, NoAnswerError, NotSentError, Request, Transport
from ptolemy_core.errors import DealUnknownError, ProviderAuthError, ProviderAwayError
from ptolemy_core.keys.wallets import Wallet

BASE: Final = "/market/mk20"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"

CLOCK_TOLERANCE: Final = 60.0
"""Seconds that a clock may be off in any case: the provider accepts a minute either way."""

_LONGEST_WAIT: Final = 24 * 60 * 60.0
_PUT_SECONDS: Final = 300.0

Clock = Callable[[], float]
"""Seconds since 1970."""


def authorization(wallet: Wallet, network: Network, method: str, path: str, now: float) -> str:
    """The Authorization header of a request.

    Args:
        wallet: that signs.
        network: whose address it has.
        method, path: of the request; the path is escaped, and without the query.
        now: seconds since 1970; the signature is good for that minute.
    """
    client = bytes(wallet.address(network))
    minute = datetime.fromtimestamp(now - now % 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = hashlib.sha256(client + method.encode() + path.encode() + minute.encode()).digest()
    signature = wallet.sign(message)
    return f"CurioAuth {wallet.kind}:{_base64(client)}:{_base64(signature)}"


@dataclass(frozen=True, slots=True)
class CurioClient:
    """Talks to one provider in the name of one wallet.

    Attributes:
        provider: with its URL.
        wallet: that signs.
        transport: that sends.
        clock: that signatures are made by.
        seconds: to wait for an answer; Curio ends its own requests after 10.
        secrets: texts that must not appear in messages, as the provider was told them.
    """

    provider: Provider
    wallet: Wallet
    transport: Transport
    clock: Clock = time.time
    seconds: float = 30.0
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def call(self, method: str, path: str, body: bytes | Body | None = None, kind: str = "") -> Answer:
        """Send a request below /market/mk20, and give its answer unless that says nothing of what was asked.

        Args:
            method: of the request.
            path: after /market/mk20.
            body: what is sent.
            kind: its Content-Type.

        Raises:
            ProviderAwayError: no connection, 429, or a GET or PUT without a useful answer.
            DealUnknownError: it was sent, and there is no useful answer.
            ProviderAuthError: 401.
        """
        url = self.provider.url + BASE + path
        now = self.clock()
        signed = authorization(self.wallet, self.provider.address.network, method, urlsplit(url).path, now)
        headers = {"Authorization": signed} | ({"Content-Type": kind} if kind else {})
        seconds = max(self.seconds, _PUT_SECONDS) if method == "PUT" else self.seconds
        try:
            answer = self.transport(Request(method, url, headers, body, seconds))
        except NotSentError as error:
            raise ProviderAwayError(
                f"{self._name} can't be reached ({error}): its deals stay as they are; see whether "
                f"{self.provider.url} is right, and try later",
                Fault.UNREACHABLE,
            ) from None
        except NoAnswerError as error:
            self._unanswered(method, path, str(error), Fault.TIMED_OUT)
        if answer.status == 401:
            self._refuse_auth(answer)
        if answer.status == 429:
            raise ProviderAwayError(
                f"{self._name} is overloaded or gets too many requests{self.words(answer)}: try later",
                Fault.OVERLOADED,
                _retry_after(answer, self.clock()),
            )
        if answer.status >= 500:
            fault = Fault.MAINTENANCE if answer.status == 503 else Fault.PROVIDER_ERROR
            wait = _retry_after(answer, self.clock())
            self._unanswered(method, path, f"status {answer.status}{self.words(answer)}", fault, wait)
        return answer

    def words(self, answer: Answer) -> str:
        """What the provider wrote, without secrets, as the end of a sentence: ": duration too short"."""
        text = redact(answer.text.removeprefix("Reason: "), self.secrets)
        return f": {text}" if text else ""

    @property
    def _name(self) -> str:
        return f"provider {self.provider.address}"

    def _unanswered(
        self, method: str, path: str, reason: str, fault: Fault, wait: float | None = None
    ) -> NoReturn:
        if method in ("GET", "PUT"):  # both can simply be sent again
            raise ProviderAwayError(
                f"{self._name} gives no answer ({reason}): its deals stay as they are; try later", fault, wait
            )
        raise DealUnknownError(
            f"{self._name} got {method} {path}, and it isn't known what it did with it ({reason}): ask for "
            "the status first",
            fault,
            wait,
        )

    def _refuse_auth(self, answer: Answer) -> NoReturn:
        offset = _clock_offset(answer, self.clock())
        if offset is not None and abs(offset) > CLOCK_TOLERANCE:
            side = "behind" if offset > 0 else "ahead of"
            raise ProviderAuthError(
                f"{self._name} doesn't accept the signature (401): your clock is off by {abs(offset):.0f} s, {side} "
                "the provider's; set it, by NTP for example",
                Fault.CLOCK_OFF,
            )
        client = self.wallet.address(self.provider.address.network)
        raise ProviderAuthError(
            f"{self._name} doesn't accept the wallet {self.wallet.alias}, {client} (401{self.words(answer)}): ask "
            "the provider to allow this address, and see that the network is right",
            Fault.NOT_ALLOWED,
        )


def with_secrets(client: CurioClient, secrets: Iterable[str]) -> CurioClient:
    """The same client, which keeps these texts out of its messages."""
    return CurioClient(
        client.provider, client.wallet, client.transport, client.clock, client.seconds, tuple(secrets)
    )


def _clock_offset(answer: Answer, now: float) -> float | None:
    """Seconds that the provider's clock is ahead of ours; None where it doesn't say."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp() - now
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _retry_after(answer: Answer, now: float) -> float | None:
    """Seconds that the provider asks to wait, at most a day."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), _LONGEST_WAIT)
    with suppress(TypeError, ValueError, OverflowError):
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), _LONGEST_WAIT)
    return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
