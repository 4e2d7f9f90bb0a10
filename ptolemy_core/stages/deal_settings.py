"""A project's settings for deals, held against the providers and wallets that there are.

What can't be right is refused when it is set, and all of it again when deals are planned. A wallet may be on another
machine than the one where it is named, so a missing one is only warned of.
"""

from collections.abc import Collection, Sequence
from typing import Final

from ptolemy_core.address import Network
from ptolemy_core.catalog import deals, home, providers
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import NotFoundError, PtolemyError, SettingsError
from ptolemy_core.keys.wallets import open_wallets
from ptolemy_core.project import Project
from ptolemy_core.stages.deal_proposal import network_of, require_source

_ABOUT_PROVIDERS: Final = frozenset({"providers", "replicas"})


def check_settings(catalog: Catalog, project: Project, given: Collection[str] = _ABOUT_PROVIDERS) -> None:
    """Refuse settings that no deal can be made with.

    Args:
        catalog: that has the providers.
        project: as it is to be.
        given: names of the settings that are set; others aren't looked at.

    Raises:
        SettingsError: a provider isn't known, they are of two networks, or they are fewer than the replicas.
    """
    if not project.providers or not _ABOUT_PROVIDERS.intersection(given):
        return
    try:
        rows = providers.rows(catalog, project.providers)
    except NotFoundError as error:
        raise SettingsError(f"providers of project {project.name!r}: {error}") from None
    network_of_all(project, rows)
    if project.replicas is not None and project.replicas > len(rows):
        raise SettingsError(
            f"project {project.name!r} wants replicas {project.replicas} and has {len(rows)} of providers "
            f"({', '.join(project.providers)}): a provider holds one replica, so name more or set fewer replicas"
        )


def wallet_warning(project: Project) -> str | None:
    """What is wrong with the wallet that a project names, as seen from here; None: nothing."""
    if project.deal_wallet is None:
        return None
    try:
        open_wallets(home()).find(project.deal_wallet)
    except PtolemyError as error:
        return f"deals can't be made here: {error}"
    return None


def require_settings(project: Project) -> None:
    """See that a project says what deals it wants.

    Raises:
        SettingsError: it doesn't.
    """
    missing = [
        option
        for value, option in (
            (project.replicas, "--replicas N"),
            (project.providers, "--providers NAME"),
            (project.deal_wallet, "--deal-wallet ALIAS"),
        )
        if not value
    ]
    if missing:
        raise SettingsError(
            f"project {project.name!r} doesn't say how its deals are made: ptolemy set {project.name} "
            + " ".join(missing)
        )


def network_of_all(project: Project, rows: Sequence[ProviderRow]) -> Network:
    """The network of a project's providers.

    Raises:
        SettingsError: they are of two.
    """
    networks = sorted({row.network for row in rows})
    if len(networks) > 1:
        raise SettingsError(
            f"providers of project {project.name!r} are of {' and '.join(networks)}: use those of one network"
        )
    return network_of(networks[0] if networks else "mainnet")


def transfer_to(project: Project, provider: ProviderRow) -> str:
    """How a provider gets a piece; how a manual one does is left to its operator."""
    return "offline" if provider.engine == deals.MANUAL else project.deal_transfer


def require_sources(project: Project, rows: Sequence[ProviderRow]) -> None:
    """See that these providers can get a project's pieces.

    Raises:
        SettingsError: they can't.
    """
    if any(transfer_to(project, row) == "pull" for row in rows):
        require_source(project)
