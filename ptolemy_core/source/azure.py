"""Azure Blob Storage, where its keys have names that the client which reads objects refuses to list.

Listing: https://learn.microsoft.com/rest/api/storageservices/list-blobs
Signatures: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree

from ptolemy_core.source.listing import Object
from ptolemy_core.source.signed_http import SignedHttp
from ptolemy_core.source.store_errors import StoreError, retried
from ptolemy_core.source.tokens import token_of

_VERSION = "2021-08-06"
_NEVER = "Thu, 01 Jan 1970 00:00:00 GMT"
_EMULATOR = "devstoreaccount1"
_EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published; the same for every emulator."""


@dataclass(frozen=True, slots=True)
class AzureAccount:
    """How a container is reached.

    Attributes:
        endpoint: of the account.
        name: of the account.
        key: that signs requests, in base64; empty: none does.
        sas: a shared access signature, which is added to each URL; empty: there is none.
    """

    endpoint: str
    name: str
    key: str = ""
    sas: str = ""
    region: str = ""

    def sign(self, request: Any) -> None:
        """Add the signature of the shared key, or the shared access signature."""
        request.headers["x-ms-version"] = _VERSION
        if self.sas:
            request.url += f"&{self.sas}"
            return
        if not self.key:
            return
        request.headers["x-ms-date"] = formatdate(usegmt=True)
        headers = "".join(f"{one}:{request.headers[one]}\n" for one in ("x-ms-date", "x-ms-version"))
        parts = urlsplit(request.url)
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        resource = f"/{self.name}{parts.path}" + "".join(f"\n{one.lower()}:{value}" for one, value in query)
        text = f"{request.method}{chr(10) * 12}{headers}{resource}"
        try:
            secret = base64.b64decode(self.key, validate=True)
        except binascii.Error:
            raise StoreError("the key of its account is no base64", status=401) from None
        signature = base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()
        request.headers["Authorization"] = f"SharedKey {self.name}:{signature}"


def account(profile: Mapping[str, str]) -> AzureAccount | None:
    """The account that a profile or the environment names; None: it is of a kind that isn't known here."""

    def setting(*names: str) -> str:
        every = [f"azure_{one}" for one in names]
        found = (profile.get(one) or os.environ.get(one.upper()) for one in every)
        return next((one for one in found if one), "")

    if setting("storage_use_emulator", "use_emulator") == "true":
        base = os.environ.get("AZURITE_BLOB_STORAGE_URL") or "http://127.0.0.1:10000"
        return AzureAccount(f"{base.rstrip('/')}/{_EMULATOR}", _EMULATOR, _EMULATOR_KEY)
    name = setting("storage_account_name", "account_name")
    key = setting("storage_account_key", "storage_access_key", "account_key", "access_key")
    sas = setting("storage_sas_key", "storage_sas_token", "sas_key", "sas_token").lstrip("?")
    unsigned = setting("skip_signature") == "true"
    if not name or not (key or sas or unsigned):
        return None
    endpoint = setting("storage_endpoint", "endpoint") or f"https://{name}.blob.core.windows.net"
    return AzureAccount(endpoint.rstrip("/"), name, key, "" if key else sas)


class AzureLister:
    """Lists a container; see `store_client.Keys`."""

    def __init__(self, account: AzureAccount, container: str, page_size: int = 1000) -> None:
        """List a container, so many keys a request."""
        self._http = SignedHttp(account, container)
        self._page_size = page_size

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All objects whose keys begin with the prefix."""
        following = ""
        while True:
            found, following = self._page(prefix, following, self._page_size)
            if found:
                yield found
            if not following:
                return

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether a key begins with the prefix; the store may be away for so long."""
        following = ""
        while True:
            found, following = self._page(prefix, following, 1, seconds)
            if found or not following:
                return bool(found)

    def has_folder(self, key: str) -> bool:
        """Whether a key begins with this one and a slash."""
        return self.any(key + "/")

    def _page(
        self, prefix: str, following: str, size: int, seconds: float | None = None
    ) -> tuple[list[Object], str]:
        query = {"restype": "container", "comp": "list", "maxresults": str(size)}
        query |= {"prefix": prefix} if prefix else {}
        query |= {"marker": following} if following else {}
        return parse_page(retried(lambda: self._http.ask("GET", "", query), seconds))


def parse_page(text: str) -> tuple[list[Object], str]:
    """The objects that an answer holds, and where the next page begins; empty at the end.

    Raises:
        StoreError: it is no listing.
    """
    try:
        root = ElementTree.fromstring(text.removeprefix("\ufeff"))
    except ElementTree.ParseError:
        raise StoreError("its answer to a listing is no XML", temporary=True) from None
    if root.tag != "EnumerationResults":
        raise StoreError("its answer is no listing: is that the endpoint of Azure Blob Storage?")
    return [_object(one) for one in root.iterfind("Blobs/Blob")], root.findtext("NextMarker") or ""


def _object(blob: Any) -> Object:
    name = blob.find("Name")
    key = (name.text or "") if name is not None else ""
    if name is not None and name.get("Encoded") == "true":
        key = unquote(key)
    time = parsedate_to_datetime(blob.findtext("Properties/Last-Modified") or _NEVER)
    size = int(blob.findtext("Properties/Content-Length") or 0)
    return Object(key, size, token_of(blob.findtext("Properties/Etag"), time))
