"""Who sent a request: the Authorization header, checked as market/mk20/auth.go does."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime

from coincurve import PublicKey
from Crypto.Hash import keccak

from ptolemy_core import address
from ptolemy_core.errors import SettingsError

PREFIX = "CurioAuth "
_TYPES = {1: "secp256k1", 2: "bls", 3: "delegated"}


class AuthError(Exception):
    """The header isn't accepted."""


def client_of(header: str, method: str, path: str, now: float, network: address.Network) -> address.Address:
    """The client that signed a request; the signature may be of this minute, the last or the next one.

    Raises:
        AuthError: nobody did.
    """
    kind, claimed, signature = parse(header)
    try:
        client = address.from_bytes(claimed, network)
    except SettingsError:
        raise AuthError("invalid filecoin pubkey") from None
    if kind not in _TYPES.values():
        raise AuthError(f"unsupported key type: {kind}")
    for offset in (0, -60, 60):
        moment = datetime.fromtimestamp(now // 60 * 60 + offset, UTC)
        text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        message = hashlib.sha256(claimed + method.upper().encode() + path.encode() + text.encode()).digest()
        if _verify(client, signature, message):
            return client
    raise AuthError("invalid signature")


def parse(header: str) -> tuple[str, bytes, bytes]:
    """The parts of the header.

    Raises:
        AuthError: it has others.
    """
    if not header.startswith(PREFIX):
        raise AuthError("missing CustomAuth prefix")
    parts = header.removeprefix(PREFIX).split(":", 2)
    if len(parts) != 3:
        raise AuthError("invalid auth format")
    try:
        claimed, signature = (base64.b64decode(part, validate=True) for part in parts[1:])
    except (binascii.Error, ValueError):
        raise AuthError("invalid base64") from None
    if not claimed or not signature:
        raise AuthError("invalid pubkey or signature")
    return parts[0], claimed, signature


def _verify(client: address.Address, signature: bytes, message: bytes) -> bool:
    if len(signature) != 66 or signature[65] > 3:
        return False
    kind = _TYPES.get(signature[0])
    if kind == "secp256k1" and client.protocol == address.SECP256K1:
        digest = hashlib.blake2b(message, digest_size=32).digest()
    elif kind == "delegated" and client.protocol == address.DELEGATED:
        digest = keccak.new(digest_bits=256, data=message).digest()
    else:
        return False  # bls isn't done here
    try:
        public = PublicKey.from_signature_and_message(signature[1:], digest, hasher=None).format(False)
    except Exception:  # coincurve raises bare exceptions too
        return False
    if kind == "secp256k1":
        return address.of_secp256k1(public, client.network) == client
    hashed = keccak.new(digest_bits=256, data=public[1:]).digest()
    return address.of_ethereum(hashed[12:], client.network) == client
