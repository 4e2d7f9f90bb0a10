"""Storage providers as users set them: checked, and what isn't named stays as it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ptolemy_core import address as addresses
from ptolemy_core import url_template
from ptolemy_core.catalog import providers
from ptolemy_core.catalog.providers import CHANGEABLE, ProviderRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.deals.engines import check_name
from ptolemy_core.deals.proposal import provider_of
from ptolemy_core.errors import SettingsError
from ptolemy_core.project import NAME_PATTERN
from ptolemy_core.stages.deal_proposal import network_of

_LIMITS: Final = ("max_pending", "max_pending_bytes", "max_total_bytes")
_LARGEST: Final = (1 << 63) - 1  # that a database holds
_REACHED_BY: Final = ("url", "plain_http")


@dataclass(frozen=True, slots=True)
class PutProvider:
    """What became of a provider.

    Attributes:
        row: as it is now.
        new: whether it is new.
        changes: each setting that changed, with its old and its new value.
    """

    row: ProviderRow
    new: bool
    changes: dict[str, tuple[Any, Any]]


def put_provider(catalog: Catalog, name: str, given: Mapping[str, Any]) -> PutProvider:
    """Add a provider, or change what is given of one that is there.

    Args:
        catalog: where it is kept.
        name: by which projects name it.
        given: fields of `ProviderRow`; None where nothing is said. A limit of 0 is no limit, an empty retrieval_url
            the engine's usual place.

    Raises:
        SettingsError: something of it can't be; or it would be another provider than it is.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise SettingsError(
            "a provider's name is 1 to 63 letters, digits, - or _, starting with a letter or digit, got "
            f"{name[:80]!r}"
        )
    values = {key: value for key, value in given.items() if value is not None}
    was = next((row for row in providers.rows(catalog) if row.name == name), None)
    row = _checked(replace(was or _new(name, values), **_plain(values)))
    new = providers.add(catalog, row)
    changes = {}
    if was is not None and not new:
        pairs = {key: (getattr(was, key), getattr(row, key)) for key in CHANGEABLE}
        changes = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    if any(key in changes for key in _REACHED_BY):
        providers.set_back(catalog, name)  # it was away at another place
    return PutProvider(providers.get(catalog, name), new, changes)


def _new(name: str, values: Mapping[str, Any]) -> ProviderRow:
    if "address" not in values:
        raise SettingsError(f"there is no provider {name!r} yet: a new one needs --address, such as f01234")
    return ProviderRow(name=name, engine="curio", network="mainnet", address="")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a row has them."""
    plain = dict(values)
    for key in _LIMITS:
        if plain.get(key) == 0:
            plain[key] = None
    if plain.get("retrieval_url") == "":
        plain["retrieval_url"] = None
    if "address" in plain:
        address = addresses.parse(plain["address"])
        plain |= {"address": str(address), "network": address.network}
    return plain


def _checked(row: ProviderRow) -> ProviderRow:
    value = provider_of(row.address, network_of(row.network), row.url, row.plain_http)
    if check_name(row.engine) == "curio" and not value.url:
        raise SettingsError(f"provider {row.name!r} needs --url: the engine curio speaks to it over HTTP")
    for key in _LIMITS:
        if (getattr(row, key) or 0) > _LARGEST:
            raise SettingsError(
                f"{key} of provider {row.name!r} is {getattr(row, key)}, which is too large: 0 takes the limit away"
            )
    if row.retrieval_url is not None:
        try:
            url_template.check("--retrieval-url", row.retrieval_url)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    return replace(row, url=value.url)
