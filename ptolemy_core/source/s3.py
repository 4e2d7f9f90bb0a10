"""Amazon S3 and what is compatible with it: credentials, and listing.

Credentials are those that every tool of AWS finds: the environment, a profile of ~/.aws, the role of the machine or
the container. They are never part of a project, a message or a log. Listing is done here and not by the client that
reads objects: that one trims slashes and refuses whole listings for one odd key, and no key may be lost or merged.

Listing: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import functools
import html
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree

from ptolemy_core.errors import SettingsError
from ptolemy_core.source.listing import Object, Page, pages
from ptolemy_core.source.signed_http import Account as SigningAccount
from ptolemy_core.source.signed_http import SignedHttp
from ptolemy_core.source.store_client import Uploads
from ptolemy_core.source.store_errors import StoreError, retried
from ptolemy_core.source.tokens import token_of

_DEFAULT_REGION = "us-east-1"
_RENEWED = timedelta(minutes=5)
"""How long temporary credentials are used before they are asked for again."""

_KEPT = 30.0
"""Seconds that a session is used for what is opened anew: then changed files of credentials are read again."""

_NEVER = "1970-01-01T00:00:00Z"

_FIELDS = [re.compile(f"<{name}>([^<]*)</{name}>") for name in ("Key", "Size", "ETag", "LastModified")]
"""What is needed of an object, wherever a store puts it among the rest."""


@dataclass(frozen=True, slots=True)
class Account:
    """How a bucket is reached: the endpoint, the region, and a session that finds credentials."""

    endpoint: str
    region: str
    session: Any

    def credentials(self) -> Any:
        """The credentials as they are now; None: none, so requests aren't signed."""
        found = self.session.get_credentials()
        return None if found is None else found.get_frozen_credentials()

    def sign(self, request: Any) -> None:
        """Sign a request, if there are credentials."""
        from botocore.auth import S3SigV4Auth

        credentials = self.credentials()
        if credentials is not None:
            S3SigV4Auth(credentials, "s3", self.region).add_auth(request)

    def provide(self) -> dict[str, Any]:
        """The credentials as obstore takes them."""
        found = self.session.get_credentials()
        frozen = found.get_frozen_credentials()
        temporary = frozen.token is not None
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _RENEWED if temporary else None,
        }


def account(profile: str | None) -> Account:
    """The account that the environment or a profile names.

    Raises:
        SettingsError: there is no such profile, or its region or endpoint can't be.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name == "HOME"}
    return _account(profile, tuple(sorted(own.items())), int(time.monotonic() // _KEPT))


@functools.lru_cache(16)
def _account(profile: str | None, environment: tuple[tuple[str, str], ...], period: int) -> Account:
    """The same, kept for a while: a session takes as long as reading a dozen objects."""
    import botocore.exceptions
    import botocore.session

    session = botocore.session.Session(profile=profile)
    try:
        scoped = session.get_scoped_config()
    except botocore.exceptions.ProfileNotFound:
        named = profile or os.environ.get("AWS_PROFILE") or "default"
        raise SettingsError(
            f"there is no profile {named!r} of credentials on this machine: write it into ~/.aws/credentials or "
            "~/.aws/config, on every machine that reads the source"
        ) from None
    own = scoped if profile else {}
    endpoint = (
        own.get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or scoped.get("endpoint_url")
        or ""
    )
    region = (
        own.get("region")
        or os.environ.get("AWS_REGION")
        or session.get_config_variable("region")
        or _DEFAULT_REGION
    )
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
        raise SettingsError(
            "the endpoint of S3 (AWS_ENDPOINT_URL) must be http:// or https:// and a host, no more"
        )
    if not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        raise SettingsError(f"the region of S3 (AWS_REGION) can't be {region!r}: use one such as us-east-1")
    session.get_credentials()  # what a session makes when it is first asked, threads can't ask for at once
    return Account((endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/"), region, session)


class S3Lister:
    """Lists a bucket; see `listing.Lister` and `store_client.Keys`."""

    def __init__(self, account: SigningAccount, bucket: str, page_size: int = 1000) -> None:
        """List a bucket, so many keys a request."""
        self._http = SignedHttp(account, bucket)
        self._page_size = page_size

    def page(
        self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
    ) -> Page:
        """A page; what fails for a moment is tried again.

        Raises:
            StoreError: it can't be had.
        """
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(self._page_size), "prefix": prefix}
        if folded:
            query["delimiter"] = "/"
        if following is not None:
            query["continuation-token"] = following
        elif after:
            query["start-after"] = after
        return parse_page(retried(lambda: self._get(query)))

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All objects whose keys begin with the prefix, listed side by side."""
        return pages(self, prefix)

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether a key begins with the prefix; the store may be away for so long."""
        query = {"list-type": "2", "encoding-type": "url", "max-keys": "1", "prefix": prefix}
        return bool(parse_page(retried(lambda: self._get(query), seconds)).objects)

    def has_folder(self, key: str) -> bool:
        """Whether a key begins with this one and a slash."""
        return self.any(key + "/")

    def _get(self, query: dict[str, str]) -> str:
        return self._http.ask("GET", "", query)


class S3Uploads(Uploads):
    """The uploads of a bucket that were begun and never completed."""

    def __init__(self, account: SigningAccount, bucket: str) -> None:
        """Those of a bucket."""
        self._bucket = SignedHttp(account, bucket)

    def give_up(self, key: str) -> None:
        """Delete what earlier uploads of a key left; one that is still under way fails.

        Raises:
            StoreError: they can't be listed.
        """
        for one in self._unfinished(key):
            if one.findtext("{*}Key") == key:
                with suppress(StoreError):  # it may be gone by now
                    self._delete(key, one.findtext("{*}UploadId") or "")

    def since(self, prefix: str) -> dict[str, float]:
        """Keys of a prefix with unfinished uploads, and when the last of each began, in seconds since 1970.

        Raises:
            StoreError: they can't be listed.
        """
        found: dict[str, float] = {}
        for one in self._unfinished(prefix):
            key = one.findtext("{*}Key") or ""
            with suppress(ValueError):  # who doesn't say since when is left alone
                began = datetime.fromisoformat(one.findtext("{*}Initiated") or "").timestamp()
                found[key] = max(found.get(key, 0.0), began)
        return found

    def _unfinished(self, prefix: str) -> Iterator[Any]:
        query = {"uploads": "", "prefix": prefix}
        while True:
            root = _root(retried(lambda: self._bucket.ask("GET", "", query)), "ListMultipartUploadsResult")
            yield from root.iterfind("{*}Upload")
            following = root.findtext("{*}NextKeyMarker")
            if (root.findtext("{*}IsTruncated") or "").strip().lower() != "true" or not following:
                return
            query["key-marker"] = following
            query["upload-id-marker"] = root.findtext("{*}NextUploadIdMarker") or ""

    def _delete(self, key: str, number: str) -> None:
        retried(lambda: self._bucket.ask("DELETE", key, {"uploadId": number}))


def parse_page(text: str) -> Page:
    """The page that an answer holds.

    Raises:
        StoreError: it is no listing.
    """
    encoded = "<EncodingType>url</EncodingType>" in text
    count = text.count("<Contents>")
    columns = [field.findall(text) for field in _FIELDS]
    usual = "<CommonPrefixes>" not in text and all(len(column) == count for column in columns)
    if usual and (encoded or not any("&#" in key for key in columns[0])):
        objects = [
            Object(_key(key, encoded), int(size), token_of(_etag(etag), time))
            for key, size, etag, time in zip(*columns, strict=True)
        ]
        rest = text[: text.find("<Contents>")] + text[text.rfind("</Contents>") + 11 :] if count else text
        return Page(objects, [], _following(_root(rest)))
    return _parse_slowly(text, encoded)


def _parse_slowly(text: str, encoded: bool) -> Page:
    """The same by the XML parser, for all forms that there may be."""
    root = _root(text)

    def key_of(raw: str | None) -> str:
        return unquote_plus(raw or "") if encoded else raw or ""

    objects = [
        Object(
            key_of(one.findtext("{*}Key")),
            int(one.findtext("{*}Size") or 0),
            token_of(one.findtext("{*}ETag"), one.findtext("{*}LastModified") or _NEVER),
        )
        for one in root.iterfind("{*}Contents")
    ]
    folders = [key_of(one.findtext("{*}Prefix")) for one in root.iterfind("{*}CommonPrefixes")]
    return Page(objects, folders, _following(root))


def _etag(raw: str) -> str:
    return html.unescape(raw) if "&" in raw else raw


def _key(raw: str, encoded: bool) -> str:
    """A key as it is: percent signs, or entities of XML, are gone."""
    if encoded:
        return unquote_plus(raw) if "%" in raw or "+" in raw else raw
    return html.unescape(raw) if "&" in raw else raw


def _root(text: str, tag: str = "ListBucketResult") -> Any:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise StoreError("its answer to a listing is no XML", temporary=True) from None
    if not root.tag.endswith(tag):
        raise StoreError("its answer is no listing: is that the endpoint of an S3 store?")
    return root


def _following(root: Any) -> str | None:
    if (root.findtext("{*}IsTruncated") or "").strip().lower() != "true":
        return None
    following: str | None = root.findtext("{*}NextContinuationToken")
    if not following:
        raise StoreError("its listing is cut off and doesn't say how it goes on")
    return following
