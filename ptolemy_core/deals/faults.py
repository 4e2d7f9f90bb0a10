"""What can be wrong with a proposal, a provider's answer or the way to it: codes that don't change.

docs/deals.md lists all of them with their meaning.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Codes of what went wrong. Those of the first part are found here, before anything is sent."""

    BAD_ID = "bad-id"
    BAD_PIECE = "bad-piece"
    BAD_PROVIDER = "bad-provider"
    BAD_CLIENT = "bad-client"
    WRONG_NETWORK = "wrong-network"
    BAD_URL = "bad-url"
    TOO_MANY_URLS = "too-many-urls"
    BAD_HEADER = "bad-header"
    BAD_DURATION = "bad-duration"
    BAD_START = "bad-start"
    BAD_ALLOCATION = "bad-allocation"
    PIECE_TOO_LARGE = "piece-too-large"
    NOT_ACCEPTED = "not-accepted"
    INSECURE_PROVIDER = "insecure-provider"

    PROVIDER_BAD_PROPOSAL = "provider-bad-proposal"
    PROVIDER_BAD_SOURCE = "provider-bad-source"
    SOURCE_UNSUPPORTED = "source-unsupported"
    PRODUCT_UNKNOWN = "product-unknown"
    PRODUCT_OFF = "product-off"
    PRODUCT_INVALID = "product-invalid"
    REJECTED_BY_MARKET = "rejected-by-market"
    MARKET_OFF = "market-off"
    DURATION_TOO_SHORT = "duration-too-short"
    UNEXPECTED_ANSWER = "unexpected-answer"
    UPLOAD_REFUSED = "upload-refused"

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    OVERLOADED = "overloaded"
    PROVIDER_ERROR = "provider-error"
    MAINTENANCE = "maintenance"

    CLOCK_OFF = "clock-off"
    NOT_ALLOWED = "not-allowed"
    UNKNOWN_DEAL = "unknown-deal"

    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a proposal.

    Attributes:
        fault: its code.
        message: what is wrong, with the value, the limit and the remedy; it has no secret.
    """

    fault: Fault
    message: str
