"""Epochs, Filecoin's clock: 30 seconds each, counted from the genesis of a network."""

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from ptolemy_core.address import Network

SECONDS: Final = 30
"""Seconds of an epoch."""

DAY: Final = 24 * 60 * 60 // SECONDS
"""Epochs of a day: 2,880."""

GENESIS: Final[dict[Network, datetime]] = {
    "mainnet": datetime(2020, 8, 24, 22, 0, tzinfo=UTC),
    "calibration": datetime(2022, 11, 1, 18, 13, tzinfo=UTC),
}
"""When epoch 0 began."""


def epoch_at(moment: datetime, network: Network) -> int:
    """The epoch that a moment is in; negative before the genesis.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return math.floor((moment - GENESIS[network]) / timedelta(seconds=SECONDS))


def epoch_of(seconds: float, network: Network) -> int:
    """The epoch of a time in seconds since 1970."""
    return epoch_at(datetime.fromtimestamp(seconds, UTC), network)


def time_of(epoch: int, network: Network) -> datetime:
    """When an epoch begins, in UTC."""
    return GENESIS[network] + timedelta(seconds=SECONDS) * epoch


def show(epoch: int, network: Network) -> str:
    """An epoch with its date, for people: "epoch 6594241 (2026-11-26 19:40 UTC)"."""
    return f"epoch {epoch} ({time_of(epoch, network):%Y-%m-%d %H:%M} UTC)"
