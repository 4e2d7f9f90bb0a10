"""The bytes of a key, protected from being shown in messages and logs or pickled."""

import hmac
import secrets
from typing import NoReturn

_ID_BYTES = 8


class Secret:
    """Bytes that `repr` doesn't show and that can't be pickled.

    A process that needs a key gets it from a key provider: this keeps keys out of queues, Dagster's storage and logs.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes, for a cipher or a key store."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a key can't be pickled: pass its alias or the wrapped key, and get the key from a provider there"
        )


def random_secret(size: int) -> Secret:
    """A new random key of `size` bytes, from the system's generator."""
    return Secret(secrets.token_bytes(size))


def secret_id(secret: Secret) -> str:
    """16 hex digits that identify a key and reveal nothing else about it.

    HKDF-Expand (RFC 5869) of the key, with its own label.
    """
    from cryptography.hazmat.primitives import hashes  # commands without keys start without them
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    label = b"ptolemy-key-id/1"
    return HKDFExpand(hashes.SHA256(), _ID_BYTES, label).derive(secret.reveal()).hex()
