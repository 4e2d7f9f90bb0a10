"""The proposal of a recorded deal, as its engine takes it. URLs are made when they are sent, and kept nowhere."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ptolemy_core import url_template
from ptolemy_core.address import Network, parse_on
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.dag import cid
from ptolemy_core.deals import Conditions, Offline, Piece, Proposal, Provider, Pull, Push, SourceUrl
from ptolemy_core.deals.proposal import Source, provider_of
from ptolemy_core.errors import SettingsError
from ptolemy_core.gateway.access import EXPIRES, SIGNATURE, signature
from ptolemy_core.project import Project

SECRET: Final = "PTOLEMY_PIECE_SECRET"
"""Environment variable with what {secret} in a project's piece_url stands for."""

URL_KEY: Final = "PTOLEMY_PIECE_URL_KEY"
"""Environment variable with the key of URLs that the piece server signs."""

VALID: Final = 30 * 86_400
"""Seconds that a signed URL is valid: longer than a provider's queue."""


def network_of(name: str) -> Network:
    """The network of a name in the catalog."""
    return "calibration" if name == "calibration" else "mainnet"


def provider_value(row: ProviderRow) -> Provider:
    """A provider as engines take it."""
    return provider_of(row.address, network_of(row.network), row.url, row.plain_http)


def proposal_of(
    row: DealRow, provider: ProviderRow, project: Project, environment: Mapping[str, str] = os.environ
) -> Proposal:
    """The proposal of a deal, to be sent.

    Raises:
        SettingsError: the project's piece_url, or the secret for it, is missing.
    """
    return replace(question_of(row, provider, environment), source=_source(row, project, environment))


def question_of(row: DealRow, provider: ProviderRow, environment: Mapping[str, str] = os.environ) -> Proposal:
    """The proposal of a deal that a provider is only asked for: without URLs, so it needs no secrets for them."""
    value = provider_value(provider)
    return Proposal(
        id=row.id,
        piece=piece_of(row),
        provider=value,
        client=parse_on(row.client or "", value.address.network),
        wallet=row.wallet or "",
        source=_without_urls(row),
        conditions=Conditions(
            duration=row.duration or 0, start_epoch=row.start_epoch, allocation_id=row.allocation_id
        ),
        hidden=tuple(filter(None, [environment.get(SECRET)])),
    )


def piece_of(row: DealRow) -> Piece:
    """The piece of a deal."""
    return Piece(cid.to_text(row.piece_cid_v2), cid.to_text(row.payload_cid))


def piece_names(piece: Piece) -> dict[str, str]:
    """What a template of URLs may name of a piece."""
    return {
        "piece_cid": piece.cid,
        "piece_cid_v1": piece.cid_v1,
        "payload_cid": piece.payload_cid,
        "file_name": f"{piece.cid_v1}.car",
    }


def require_source(project: Project, environment: Mapping[str, str] = os.environ) -> None:
    """See that providers can pull a project's pieces.

    Raises:
        SettingsError: they can't.
    """
    if project.piece_url is None:
        raise SettingsError(
            f"project {project.name!r} doesn't say where providers pull pieces from: ptolemy set {project.name} "
            "--piece-url 'https://HOST/piece/{piece_cid}' (`ptolemy serve-pieces` serves them), or --deal-transfer "
            "push or offline"
        )
    for name, variable in (("secret", SECRET), ("signature", URL_KEY)):
        if url_template.needs(project.piece_url, name) and not environment.get(variable):
            raise SettingsError(
                f"piece_url of project {project.name!r} has {{{name}}}, and {variable} isn't set: set it where deals "
                "are made"
            )


def _without_urls(row: DealRow) -> Source:
    if row.transfer == "push":
        return Push()
    return Offline() if row.transfer == "offline" else Pull(())


def _source(row: DealRow, project: Project, environment: Mapping[str, str]) -> Source:
    if row.transfer != "pull":
        return _without_urls(row)
    require_source(project, environment)
    template = project.piece_url or ""
    names = piece_names(piece_of(row)) | {"secret": environment.get(SECRET, ""), "signature": ""}
    if url_template.needs(template, "signature"):
        path = urlsplit(url_template.fill(template, names)).path
        # as the piece server sees it, which may be behind a proxy below another path
        path = path[max(path.rfind("/piece/"), 0) :]
        names["signature"] = _signature(environment[URL_KEY].strip().encode(), path)
    return Pull((SourceUrl(url_template.fill(template, names)),))


def _signature(key: bytes, path: str) -> str:
    """The parameters of a URL of our piece server that anyone may fetch for a while."""
    expires = int(time.time()) + VALID
    return f"{EXPIRES}={expires}&{SIGNATURE}={signature(key, path, expires)}"
