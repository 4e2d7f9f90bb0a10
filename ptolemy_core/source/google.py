"""Google Cloud Storage, for what the client that reads objects doesn't do: odd keys, and unfinished uploads.

Its XML interface lists both as S3 does; only the authorization is another one: a token that the key of a service
account signs, or none.

Listing: https://cloud.google.com/storage/docs/xml-api/get-bucket-list
Uploads: https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads
Tokens: https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth
"""

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptolemy_core.source.store_errors import StoreError

ENDPOINT = "https://storage.googleapis.com"

_READ = "https://www.googleapis.com/auth/devstorage.read_only"
_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"
_VALID = 3600
"""Seconds that a token is valid."""

_KEYS = ("service_account_key",)
_FILES = ("service_account", "service_account_path", "application_credentials")


@dataclass(frozen=True, slots=True)
class GoogleAccount:
    """How a bucket is reached.

    Attributes:
        endpoint: of the store.
        key: the fields of a service account's key; None: requests aren't signed.
        writes: whether its tokens are for writing too.
    """

    endpoint: str
    key: Mapping[str, str] | None
    writes: bool = False
    region: str = ""

    def sign(self, request: Any) -> None:
        """Add a token that the key signs."""
        if self.key is not None:
            request.headers["Authorization"] = f"Bearer {_token(self.key, _WRITE if self.writes else _READ)}"


def account(profile: Mapping[str, str], *, writes: bool = False) -> GoogleAccount | None:
    """The account that a profile or the environment names; None: it is of a kind that isn't known here."""

    def setting(name: str) -> str | None:
        return profile.get(f"google_{name}") or os.environ.get(f"GOOGLE_{name.upper()}")

    text = next((found for name in _KEYS if (found := setting(name))), None)
    file = next((found for name in _FILES if (found := setting(name))), None)
    if text is None and file is None:
        return GoogleAccount(ENDPOINT, None) if setting("skip_signature") == "true" else None
    try:
        if text is None:
            with open(str(file), encoding="utf-8") as opened:
                text = opened.read()
        key = json.loads(text)
    except (OSError, ValueError):
        return None
    endpoint = (key.get("gcs_base_url") or ENDPOINT).rstrip("/")
    if key.get("disable_oauth"):
        return GoogleAccount(endpoint, None)
    if not key.get("private_key") or not key.get("client_email"):
        return None
    return GoogleAccount(endpoint, key, writes)


def _token(key: Mapping[str, str], scope: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    now = int(time.time())
    who = key["client_email"]
    head = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    claims = {"iss": who, "sub": who, "scope": scope, "iat": now, "exp": now + _VALID}
    text = f"{_base64(json.dumps(head).encode())}.{_base64(json.dumps(claims).encode())}"
    try:
        private = load_pem_private_key(key["private_key"].encode(), None)
    except ValueError:
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise StoreError("the private key of its service account can't be read", status=401)
    return f"{text}.{_base64(private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
