"""Sources that are URLs: which kind a URL is of, and what it takes to open it."""

import importlib.util
from datetime import timedelta
from typing import Any

from ptolemy_core.errors import SettingsError
from ptolemy_core.source.objects import ObjectSource, obstore_client
from ptolemy_core.urls import Location

CLIENT_OPTIONS = {
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
    if location.scheme == "s3":
        _require("botocore", "obstore")
        return _s3(location, profile)
    raise SettingsError(f"{location.scheme}:// can't be read yet: use s3:// or a folder")


def _require(*modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"a target_dir that is a URL needs {' and '.join(missing)}: pip install 'ptolemy[remote]'"
        )


def _s3(location: Location, profile: str | None) -> ObjectSource:
    from obstore.store import S3Store

    from ptolemy_core.source import s3

    account = s3.account(profile)
    is_signed = account.credentials() is not None

    def store() -> Any:
        options: Any = CLIENT_OPTIONS | {"allow_http": account.endpoint.startswith("http:")}
        signing: Any = {"credential_provider": account.provide} if is_signed else {"skip_signature": True}
        return S3Store(
            location.place,
            endpoint=account.endpoint,
            region=account.region,
            client_options=options,
            retry_config=RETRIES,
            **signing,
        )

    lister = s3.S3Lister(account, location.place)
    return ObjectSource(location, lister, obstore_client(store), account.endpoint)
