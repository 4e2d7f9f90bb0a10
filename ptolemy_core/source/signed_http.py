"""Requests to a store's own HTTP interface, for what the client that reads objects doesn't do."""

import functools
import os
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from ptolemy_core.source.store_errors import StoreError, of_response


class Account(Protocol):
    """How a store is reached, and what signs the requests to it."""

    @property
    def endpoint(self) -> str: ...

    @property
    def region(self) -> str: ...

    def sign(self, request: Any) -> None:
        """Add what authorizes a request of botocore's. Raises StoreError."""


class SignedHttp:
    """Signed requests for a bucket and its keys; thread-safe."""

    def __init__(self, account: Account, bucket: str) -> None:
        """Requests for a bucket."""
        self._account = account
        self._url = f"{account.endpoint}/{bucket}"

    @functools.cached_property
    def _http(self) -> Any:
        """Made for the first request: most sources that are opened only read."""
        return session(self._url)

    def ask(self, method: str, key: str, query: dict[str, str]) -> str:
        """The answer to a request for the bucket, or for a key of it.

        Raises:
            StoreError: it isn't a success.
        """
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        place = self._url + (f"/{quote(key, safe='-_.~/')}" if key else "")
        request = AWSRequest(method=method, url=f"{place}?{urlencode(query, quote_via=quote, safe='-_.~')}")
        try:
            self._account.sign(request)
            response = self._http.send(request.prepare())
            body: bytes = response.content
        except BotoCoreError as error:
            if "Credential" in type(error).__name__ or "Token" in type(error).__name__:
                raise StoreError("the credentials can't be had", status=401) from None
            raise StoreError(f"{self._account.endpoint} doesn't answer", temporary=True) from None
        if response.status_code not in (200, 204):
            region = response.headers.get("x-amz-bucket-region")
            other = region if region and region != self._account.region else None
            raise of_response(response.status_code, body, other)
        return body.decode("utf-8", "surrogateescape")


def session(url: str) -> Any:
    """What sends requests to a URL."""
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    return URLLib3Session(
        verify=os.environ.get("AWS_CA_BUNDLE") or True,
        proxies=get_environ_proxies(url),
        timeout=60,
        max_pool_connections=32,
    )
