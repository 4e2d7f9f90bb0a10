"""Sources that are URLs: which kind a URL is of, and what it takes to open it."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ptolemy_core.errors import SettingsError
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.source.profiles import read_profile
from ptolemy_core.urls import Location

CLIENT_OPTIONS: Any = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(minutes=10),
}
"""Of obstore. A server that says nothing for a minute counts as a broken connection."""

RETRIES: Any = {"max_retries": 0}
"""Requests are made again by us (`store_errors.Retry`), so that it is done in one way, and a broken answer goes on
from where it broke."""


def open_remote(location: Location, profile: str | None) -> ObjectSource:
    """The source of a URL.

    Raises:
        SettingsError: what it needs isn't installed, or its settings can't be.
    """
    opener, modules = _OPENERS[location.scheme]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"a target_dir that is a {location.scheme}:// URL needs {' and '.join(missing)}: "
            "pip install 'ptolemy[remote]'"
        )
    return opener(location, profile)


def _s3(location: Location, profile: str | None) -> ObjectSource:
    from obstore.store import S3Store

    from ptolemy_core.source import s3
    from ptolemy_core.source.obstore_client import ObstoreClient, made

    account = s3.account(profile)
    is_signed = account.credentials() is not None
    signing: Any = {"credential_provider": account.provide} if is_signed else {"skip_signature": True}

    def make() -> Any:
        return S3Store(
            location.place,
            endpoint=account.endpoint,
            region=account.region,
            client_options=CLIENT_OPTIONS | {"allow_http": account.endpoint.startswith("http:")},
            retry_config=RETRIES,
            **signing,
        )

    return ObjectSource(
        location, s3.S3Lister(account, location.place), ObstoreClient(made(make)), account.endpoint
    )


def _google(location: Location, profile: str | None) -> ObjectSource:
    from obstore.store import GCSStore

    values: Any = read_profile(profile, "google_")

    def make() -> Any:
        options = CLIENT_OPTIONS | {"allow_http": True}  # of an emulator, which its settings name
        return GCSStore(location.place, client_options=options, retry_config=RETRIES, **values)

    return _by_obstore(location, make, "https://storage.googleapis.com")


def _azure(location: Location, profile: str | None) -> ObjectSource:
    import os

    from obstore.store import AzureStore

    values: Any = read_profile(profile, "azure_")
    account = values.get("azure_storage_account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")

    def make() -> Any:
        options = CLIENT_OPTIONS | {"allow_http": True}  # of an emulator, which its settings name
        return AzureStore(location.place, client_options=options, retry_config=RETRIES, **values)

    return _by_obstore(location, make, f"https://{account}.blob.core.windows.net")


def _by_obstore(location: Location, make: Callable[[], Any], endpoint: str) -> ObjectSource:
    from ptolemy_core.source.obstore_client import ObstoreClient, ObstoreKeys, made

    store = made(make)
    client = ObstoreClient(store)
    return ObjectSource(location, ObstoreKeys(store, client), client, endpoint)


def _web(location: Location, profile: str | None) -> ObjectSource:
    from obstore.store import HTTPStore

    from ptolemy_core.source.obstore_client import ObstoreClient, made
    from ptolemy_core.source.url_list import UrlList

    _require_no_profile(location, profile, "a web server has none")
    base = f"{location.scheme}://{location.place}"
    options = CLIENT_OPTIONS | {"allow_http": location.scheme == "http"}
    client = ObstoreClient(
        made(lambda: HTTPStore.from_url(base, client_options=options, retry_config=RETRIES))
    )
    folder = replace(location, path=location.path.rpartition("/")[0])
    return ObjectSource(folder, UrlList(client, location), client, location.scheme + ":/")


def _ssh(location: Location, profile: str | None) -> ObjectSource:
    from ptolemy_core.source.sftp import Sftp

    _require_no_profile(location, profile, "~/.ssh/config says which keys a host wants")
    server = Sftp(location)
    return ObjectSource(location, server, server, "sftp:/")


def _require_no_profile(location: Location, profile: str | None, why: str) -> None:
    if profile is not None:
        raise SettingsError(
            f"source_profile {profile!r} can't be used with {location.scheme}://: {why}; leave it out"
        )


_OPENERS: dict[str, tuple[Callable[[Location, str | None], ObjectSource], tuple[str, ...]]] = {
    "s3": (_s3, ("botocore", "obstore")),
    "gs": (_google, ("obstore",)),
    "az": (_azure, ("obstore",)),
    "https": (_web, ("obstore",)),
    "http": (_web, ("obstore",)),
    "sftp": (_ssh, ("asyncssh",)),
}
"""How URLs are opened, and the modules that it takes, by scheme."""
