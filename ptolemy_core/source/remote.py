"""Sources that are URLs: which kind a URL is of, and what it takes to open it."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ptolemy_core.errors import SettingsError
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.source.profiles import read_profile
from ptolemy_core.source.store_client import Keys, Uploads
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
    _require(location)
    return _OPENERS[location.scheme][0](location, profile)


_WRITER_RETRIES: Any = {"max_retries": 10, "retry_timeout": timedelta(minutes=5)}
"""Of long uploads: a part is sent again by obstore, since the whole can't be."""


def open_store(location: Location, profile: str | None) -> Any:
    """The store of obstore's at a URL, to write to; what fails is tried again by the caller.

    Raises:
        SettingsError: there is none, what it needs isn't installed, or its settings can't be.
    """
    return _open_store(location, profile, RETRIES)


def open_writer(location: Location, profile: str | None) -> Any:
    """The same for long uploads, whose parts are sent again where that helps."""
    return _open_store(location, profile, _WRITER_RETRIES)


def unfinished_uploads(location: Location, profile: str | None) -> Uploads:
    """The uploads below a URL that were begun and never completed."""
    from ptolemy_core.source import google, s3

    account = None
    if location.scheme == "s3":
        account = _account(profile)
    elif location.scheme == "gs" and _has("botocore"):
        account = google.account(read_profile(profile, "google_"), writes=True)
    return s3.S3Uploads(account, location.place) if account else Uploads()


def _open_store(location: Location, profile: str | None, retries: Any) -> Any:
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        "s3": lambda: _s3_store(location, _account(profile), retries),
        "gs": lambda: _google_store(location, profile, retries),
        "az": lambda: _azure_store(location, profile, retries),
    }
    if location.scheme not in makers:
        raise SettingsError(
            f"nothing can be written to {location.scheme}:// URLs, only to s3://, gs:// and az://"
        )
    _require(location)
    from ptolemy_core.source.obstore_client import made

    return made(makers[location.scheme]())


def _require(location: Location) -> None:
    missing = [one for one in _OPENERS[location.scheme][1] if not _has(one)]
    if missing:
        raise SettingsError(
            f"a {location.scheme}:// URL needs {' and '.join(missing)}: pip install 'ptolemy[remote]'"
        )


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _account(profile: str | None) -> Any:
    from ptolemy_core.source import s3

    return s3.account(profile)


def _s3_store(location: Location, account: Any, retries: Any = RETRIES) -> Callable[[], Any]:
    from obstore.store import S3Store

    is_signed = account.credentials() is not None
    signing: Any = {"credential_provider": account.provide} if is_signed else {"skip_signature": True}
    return lambda: S3Store(
        location.place,
        endpoint=account.endpoint,
        region=account.region,
        client_options=CLIENT_OPTIONS | {"allow_http": account.endpoint.startswith("http:")},
        retry_config=retries,
        **signing,
    )


def _google_store(location: Location, profile: str | None, retries: Any = RETRIES) -> Callable[[], Any]:
    from obstore.store import GCSStore

    values: Any = read_profile(profile, "google_")
    options = CLIENT_OPTIONS | {"allow_http": True}  # of an emulator, which its settings name
    return lambda: GCSStore(location.place, client_options=options, retry_config=retries, **values)


def _azure_store(location: Location, profile: str | None, retries: Any = RETRIES) -> Callable[[], Any]:
    from obstore.store import AzureStore

    values: Any = read_profile(profile, "azure_")
    options = CLIENT_OPTIONS | {"allow_http": True}  # of an emulator, which its settings name
    return lambda: AzureStore(location.place, client_options=options, retry_config=retries, **values)


def _s3(location: Location, profile: str | None) -> ObjectSource:
    from ptolemy_core.source import s3
    from ptolemy_core.source.obstore_client import ObstoreClient, made

    account = _account(profile)
    client = ObstoreClient(made(_s3_store(location, account)))
    return ObjectSource(location, s3.S3Lister(account, location.place), client, account.endpoint)


def _google(location: Location, profile: str | None) -> ObjectSource:
    from ptolemy_core.source import google, s3

    def lister() -> Keys | None:
        account = google.account(read_profile(profile, "google_"))
        return s3.S3Lister(account, location.place) if account and _has("botocore") else None

    return _by_obstore(location, _google_store(location, profile), google.ENDPOINT, lister)


def _azure(location: Location, profile: str | None) -> ObjectSource:
    values = read_profile(profile, "azure_")
    account = values.get("azure_storage_account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    from ptolemy_core.source import azure

    def lister() -> Keys | None:
        found = azure.account(values)
        return azure.AzureLister(found, location.place) if found and _has("botocore") else None

    endpoint = f"https://{account}.blob.core.windows.net"
    return _by_obstore(location, _azure_store(location, profile), endpoint, lister)


def _by_obstore(
    location: Location, make: Callable[[], Any], endpoint: str, lister: Callable[[], Keys | None]
) -> ObjectSource:
    from ptolemy_core.source.obstore_client import ObstoreClient, ObstoreKeys, made

    store = made(make)
    client = ObstoreClient(store)
    return ObjectSource(location, ObstoreKeys(store, client, lister), client, endpoint)


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
