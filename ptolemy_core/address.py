"""Filecoin addresses: their text with its checksum, their bytes, and the network that their text is for.

An address is of a protocol: 0 an actor's ID, 1 a secp256k1 key, 2 an actor, 3 a BLS key, 4 delegated. A storage
provider is an f0, a wallet an f1, f3 or f410f. The same bytes are written with `f` on mainnet and with `t` on test
networks, so the text alone tells them apart.

Specification: https://spec.filecoin.io/appendix/address/ and FIP-0048 (delegated addresses)
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from ptolemy_core.dag import varint
from ptolemy_core.errors import SettingsError

Network = Literal["mainnet", "calibration"]
"""A network: mainnet, whose addresses start with f, or the test network calibration, whose addresses start with t."""

ID: Final = 0
SECP256K1: Final = 1
ACTOR: Final = 2
BLS: Final = 3
DELEGATED: Final = 4

ETHEREUM_NAMESPACE: Final = 10
"""The namespace of delegated addresses whose rest is an Ethereum address: those that start with f410f."""

NETWORKS: Final[dict[str, Network]] = {"f": "mainnet", "t": "calibration"}
PREFIXES: Final[dict[Network, str]] = {network: prefix for prefix, network in NETWORKS.items()}

_HASHED: Final = {SECP256K1: 20, ACTOR: 20, BLS: 48}
"""Bytes after the protocol, where their number is fixed."""

_CHECKSUM: Final = 4
_LARGEST_ID: Final = 2**63 - 1
_LONGEST_SUBADDRESS: Final = 54
_LONGEST_TEXT: Final = 120


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a network.

    Attributes:
        network: that its text is for.
        protocol: 0 to 4.
        payload: the bytes after the protocol: for protocol 0 the ID as a varint, for 4 the namespace as a varint and
            the subaddress.
    """

    network: Network
    protocol: int
    payload: bytes

    def __str__(self) -> str:
        start = f"{PREFIXES[self.network]}{self.protocol}"
        if self.protocol == ID:
            return f"{start}{varint.decode(self.payload)[0]}"
        body = self.payload
        if self.protocol == DELEGATED:
            namespace, at = varint.decode(self.payload)
            start += f"{namespace}f"
            body = self.payload[at:]
        return start + _base32(body + _checksum(bytes(self)))

    def __bytes__(self) -> bytes:
        return bytes((self.protocol,)) + self.payload

    def on(self, network: Network) -> "Address":
        """The same bytes as an address on another network: right for keys, wrong for IDs."""
        return Address(network, self.protocol, self.payload)


def parse(text: str) -> Address:
    """The address of a text.

    Raises:
        SettingsError: it isn't one; the message says which part is wrong.
    """
    if len(text) > _LONGEST_TEXT:
        raise _bad(text, f"it has {len(text)} characters, and an address at most {_LONGEST_TEXT}")
    if len(text) < 3 or text[0] not in NETWORKS or text[1] not in "01234":
        raise _bad(text, "one starts with f (mainnet) or t (test networks) and a digit from 0 to 4")
    network, protocol, rest = NETWORKS[text[0]], int(text[1]), text[2:]
    if protocol == ID:
        return Address(network, ID, varint.encode(_number(text, rest, "ID")))
    if protocol == DELEGATED:
        namespace, separator, rest = rest.partition("f")
        if not separator:
            raise _bad(text, "a delegated one has its namespace and an f after f4, like f410f...")
        prefix = varint.encode(_number(text, namespace, "namespace"))
    else:
        prefix = b""
    body = _unbase32(text, rest)
    address = Address(network, protocol, prefix + body[:-_CHECKSUM])
    _check_length(text, protocol, len(body) - _CHECKSUM)
    if _checksum(bytes(address)) != body[-_CHECKSUM:]:
        raise _bad(text, "its checksum is wrong, so a character is: copy it again")
    return address


def parse_on(text: str, network: Network) -> Address:
    """The address of a text that must be one of a network.

    Raises:
        SettingsError: it isn't an address, or one of another network.
    """
    address = parse(text)
    if address.network != network:
        raise SettingsError(
            f"{text} is an address of {address.network}, and this is for {network}: its addresses start with "
            f"{PREFIXES[network]}"
        )
    return address


def from_bytes(data: bytes, network: Network) -> Address:
    """The address of its bytes: the protocol, then the rest.

    Raises:
        SettingsError: they aren't an address.
    """
    shown = data[:64].hex()
    if not data or data[0] > DELEGATED:
        raise _bad(shown, "its first byte is the protocol, 0 to 4")
    protocol, payload = data[0], data[1:]
    if protocol in _HASHED:
        _check_length(shown, protocol, len(payload))
        return Address(network, protocol, payload)
    try:
        number, end = varint.decode(payload)
    except ValueError as error:
        raise _bad(shown, str(error)) from None
    if protocol == ID and (end != len(payload) or number > _LARGEST_ID):
        raise _bad(shown, "bytes follow its ID")
    if protocol == DELEGATED:
        _check_length(shown, protocol, len(payload) - end)
    return Address(network, protocol, payload)


def of_id(number: int, network: Network) -> Address:
    """The address of an actor's ID, such as a storage provider's."""
    return Address(network, ID, varint.encode(number))


def of_secp256k1(public_key: bytes, network: Network) -> Address:
    """The f1 address of an uncompressed public key of 65 bytes."""
    return Address(network, SECP256K1, hashlib.blake2b(public_key, digest_size=20).digest())


def of_ethereum(address: bytes, network: Network) -> Address:
    """The f410f address of an Ethereum address of 20 bytes."""
    return Address(network, DELEGATED, varint.encode(ETHEREUM_NAMESPACE) + address)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM).digest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _unbase32(text: str, encoded: str) -> bytes:
    try:
        data = base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        data = b""
    if len(data) <= _CHECKSUM or _base32(data) != encoded:
        raise _bad(text, "after its start only the letters a to z and the digits 2 to 7 are used, in full")
    return data


def _number(text: str, digits: str, what: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20) or str(int(digits)) != digits:
        raise _bad(text, f"its {what} must be a number without leading zeros")
    number = int(digits)
    if number > _LARGEST_ID:
        raise _bad(text, f"its {what} is larger than {_LARGEST_ID}")
    return number


def _check_length(text: str, protocol: int, length: int) -> None:
    wanted = _HASHED.get(protocol)
    if wanted is not None and length != wanted:
        raise _bad(text, f"protocol {protocol} has {wanted} bytes after the protocol, it has {length}")
    if wanted is None and not 1 <= length <= _LONGEST_SUBADDRESS:
        raise _bad(
            text, f"a delegated one has 1 to {_LONGEST_SUBADDRESS} bytes after its namespace, it has {length}"
        )


def _bad(text: str, reason: str) -> SettingsError:
    return SettingsError(f"{text[:_LONGEST_TEXT]!r} isn't a Filecoin address: {reason}")
