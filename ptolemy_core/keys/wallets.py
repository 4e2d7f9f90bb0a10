"""Wallets by alias: private keys that sign requests to storage providers, kept outside the catalog.

A wallet comes from a file of mode 0600, an environment variable or a command, as encryption keys do. Its text is one
word: what `lotus wallet export` prints (hex of JSON), or `secp256k1:` or `delegated:` and 64 hex digits. Signatures
are libsecp256k1's (coincurve), blake2b is hashlib's, keccak is PyCryptodome's.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ptolemy_core import address
from ptolemy_core.address import Address, Network
from ptolemy_core.errors import DamagedError, KeyStoreError, SettingsError, UnknownKeyError
from ptolemy_core.keys.command import SecretCommand
from ptolemy_core.keys.key import check_alias, is_alias
from ptolemy_core.keys.private_file import check_private
from ptolemy_core.keys.providers import TIMEOUT, timeout_seconds
from ptolemy_core.keys.secret import Secret

Kind = Literal["secp256k1", "delegated"]
"""What a wallet's address is made of: a Filecoin key (f1) or an Ethereum key (f410f)."""

WALLETS = "PTOLEMY_WALLETS"
"""Environment variable with wallets: ALIAS=TEXT, blanks between them."""

FOLDER = "PTOLEMY_WALLET_FOLDER"
"""Environment variable with the folder of wallet files."""

COMMAND = "PTOLEMY_WALLET_COMMAND"
"""Environment variable with a command that prints a wallet's text; `{alias}` in it is the alias that is wanted."""

_SIGNATURE_TYPE: dict[Kind, int] = {"secp256k1": 1, "delegated": 3}
_KEY = re.compile(r"(secp256k1|delegated):(?:0x)?([0-9a-fA-F]{64})\Z")
_LONGEST = 1 << 16
_ADVICE = "it must be what `lotus wallet export` prints, or secp256k1: or delegated: and 64 hex digits"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A private key under an alias. Neither `repr` nor pickle shows the key.

    Attributes:
        alias: its name.
        kind: what its address is made of.
        secret: the key.
    """

    alias: str
    kind: Kind
    secret: Secret

    def address(self, network: Network) -> Address:
        """The wallet's address on a network."""
        with _libraries():
            from coincurve import PrivateKey

            public = PrivateKey(self.secret.reveal()).public_key.format(compressed=False)
        if self.kind == "secp256k1":
            return address.of_secp256k1(public, network)
        return address.of_ethereum(_keccak(public[1:])[12:], network)

    def sign(self, message: bytes) -> bytes:
        """A Filecoin signature: the byte of its type, then r, s and v.

        The message is hashed with blake2b-256 (f1) or keccak256 (f410f, without Ethereum's prefix).
        """
        digest = (
            hashlib.blake2b(message, digest_size=32).digest()
            if self.kind == "secp256k1"
            else _keccak(message)
        )
        with _libraries():
            from coincurve import PrivateKey

            signature = PrivateKey(self.secret.reveal()).sign_recoverable(digest, hasher=None)
        return bytes((_SIGNATURE_TYPE[self.kind],)) + signature


class WalletProvider(Protocol):
    """A place that wallets come from, like a `KeyProvider` of encryption keys."""

    @property
    def place(self) -> str:
        """What it is, for messages: "the folder of wallets /home/anna/.ptolemy/wallets"."""

    def aliases(self) -> list[str]:
        """The aliases that it can name, sorted; a command that is asked for one alias at a time names none."""

    def wallet(self, alias: str) -> Wallet | None:
        """The wallet of an alias; None where there is none.

        Raises:
            SettingsError: the alias can't be one.
            KeyStoreError: the place can't be read.
            DamagedError: what it holds is no wallet.
        """


def parse_wallet(text: str, alias: str, place: str) -> Wallet:
    """The wallet of a text.

    Raises:
        DamagedError: it isn't one, or one of a kind that can't sign here. The message doesn't quote it.
    """
    word = text.strip()
    match = _KEY.match(word)
    kind, key = (match[1], bytes.fromhex(match[2])) if match else _of_lotus(word, alias, place)
    wallet = Wallet(alias, "secp256k1" if kind == "secp256k1" else "delegated", Secret(key))
    try:
        wallet.address("mainnet")
    except ValueError:  # zero, or not below the order of the curve
        raise _bad(alias, place, "its number isn't a private key") from None
    return wallet


class WalletFiles:
    """Wallets in a folder: a file of mode 0600 for each, named after its alias."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @property
    def place(self) -> str:
        """The folder."""
        return f"the folder of wallets {self.folder}"

    def aliases(self) -> list[str]:
        """The names of the files in it."""
        try:
            return sorted(name for name in os.listdir(self.folder) if is_alias(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyStoreError(
                f"{self.place} can't be read ({error.strerror}): make it readable, or set {FOLDER}"
            ) from None

    def wallet(self, alias: str) -> Wallet | None:
        """The wallet in the alias's file."""
        path = os.path.join(self.folder, check_alias(alias))
        place = f"the wallet file {path}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyStoreError(
                f"{place} can't be read ({error.strerror}): make it yours, with mode 0600"
            ) from None
        try:
            check_private(
                os.fstat(descriptor), place, FOLDER, "move what it holds to a new wallet, and use that"
            )
            data = os.read(descriptor, _LONGEST)
        except OSError as error:
            raise KeyStoreError(
                f"{place} can't be read ({error.strerror}): see that its disk works"
            ) from None
        finally:
            os.close(descriptor)
        return parse_wallet(data.decode("ascii", "replace"), alias, place)


class WalletText:
    """Wallets from a text, such as an environment variable's value: ALIAS=TEXT, blanks between them."""

    def __init__(self, text: str, place: str) -> None:
        """Read the text.

        Raises:
            DamagedError: a part isn't a wallet, or an alias is there twice.
        """
        self.place = place
        self._wallets: dict[str, Wallet] = {}
        for number, word in enumerate(text.split(), 1):
            alias, separator, rest = word.partition("=")
            if not separator or not is_alias(alias):
                raise DamagedError(
                    f"word {number} of {place} is no wallet: one looks like ALIAS=TEXT, and {_ADVICE}"
                )
            if alias in self._wallets:
                raise DamagedError(f"{place} has the wallet {alias} twice; keep the right one")
            self._wallets[alias] = parse_wallet(rest, alias, place)

    def aliases(self) -> list[str]:
        """All aliases in the text."""
        return sorted(self._wallets)

    def wallet(self, alias: str) -> Wallet | None:
        """The wallet of an alias in the text."""
        return self._wallets.get(check_alias(alias))


class WalletCommand:
    """Wallets that a command prints: `vault kv get -field=key secret/wallets/{alias}`, say.

    It runs once for each alias, as `SecretCommand` does; its answer is kept in memory.
    """

    def __init__(self, command: str, seconds: float) -> None:
        """Take a command line.

        Raises:
            SettingsError: it isn't one.
        """
        self._command = SecretCommand(command, COMMAND, seconds, TIMEOUT)
        self._answers: dict[str, Wallet | None] = {}
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The command's name."""
        return self._command.place

    def aliases(self) -> list[str]:
        """None: the command is asked for one alias at a time."""
        return []

    def wallet(self, alias: str) -> Wallet | None:
        """The wallet that the command prints; None where it prints nothing."""
        with self._lock:
            if alias not in self._answers:
                text = self._command.output(alias)
                self._answers[alias] = parse_wallet(text, alias, self.place) if text.strip() else None
            return self._answers[alias]


class Wallets:
    """Several places in turn: the first one that knows an alias answers for it."""

    def __init__(self, providers: Sequence[WalletProvider]) -> None:
        self.providers = tuple(providers)

    @property
    def place(self) -> str:
        """All places."""
        return " or ".join(provider.place for provider in self.providers)

    def aliases(self) -> list[str]:
        """The aliases of all places."""
        return sorted({alias for provider in self.providers for alias in provider.aliases()})

    def wallet(self, alias: str) -> Wallet | None:
        """The wallet that the first place has that knows the alias."""
        for provider in self.providers:
            wallet = provider.wallet(alias)
            if wallet is not None:
                return wallet
        return None

    def find(self, alias: str) -> Wallet:
        """The wallet of an alias that must be there.

        Raises:
            UnknownKeyError: there is none.
            SettingsError, KeyStoreError, DamagedError: as `WalletProvider.wallet` does.
        """
        wallet = self.wallet(check_alias(alias))
        if wallet is None:
            known = self.aliases()
            names = f" (it has {', '.join(known)})" if known else ""
            raise UnknownKeyError(
                f"there is no wallet {alias} in {self.place}{names}: put its key in a file of that name, mode 0600, "
                f"in the folder of wallets, or in {WALLETS}"
            )
        return wallet


def open_wallets(home: str, environment: Mapping[str, str] = os.environ) -> Wallets:
    """The wallets that the environment offers: PTOLEMY_WALLETS first, then the files, then PTOLEMY_WALLET_COMMAND.

    Args:
        home: its folder `wallets` has the files, where PTOLEMY_WALLET_FOLDER names no other.
        environment: variables.

    Raises:
        SettingsError, DamagedError: a variable can't be used.
    """
    providers: list[WalletProvider] = []
    if environment.get(WALLETS):
        providers.append(WalletText(environment[WALLETS], f"the environment variable {WALLETS}"))
    folder = environment.get(FOLDER)
    providers.append(
        WalletFiles(os.path.abspath(os.path.expanduser(folder)) if folder else os.path.join(home, "wallets"))
    )
    if environment.get(COMMAND):
        providers.append(WalletCommand(environment[COMMAND], timeout_seconds(environment)))
    return Wallets(providers)


def _of_lotus(word: str, alias: str, place: str) -> tuple[str, bytes]:
    """The type and the key of what `lotus wallet export` prints."""
    value: Any = None
    key = b""
    with suppress(ValueError, RecursionError, UnicodeDecodeError):
        value = json.loads(bytes.fromhex(word))
    if isinstance(value, dict):
        with suppress(KeyError, TypeError, ValueError, binascii.Error):
            key = base64.b64decode(value["PrivateKey"], validate=True)
    if not key:
        raise _bad(alias, place, _ADVICE)
    if value.get("Type") not in _SIGNATURE_TYPE:
        raise _bad(alias, place, "its type must be secp256k1 or delegated; bls can't sign here")
    if len(key) != 32:
        raise _bad(alias, place, f"its key must have 32 bytes, it has {len(key)}")
    return value["Type"], key


def _bad(alias: str, place: str, reason: str) -> DamagedError:
    return DamagedError(f"the wallet {alias} in {place} can't be used: {reason}")


def _keccak(data: bytes) -> bytes:
    with _libraries():
        from Crypto.Hash import keccak

        return keccak.new(digest_bits=256, data=data).digest()


@contextmanager
def _libraries() -> Iterator[None]:
    """Say what to install where the libraries aren't there: coincurve has no wheels for the newest Pythons."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"wallets need coincurve and pycryptodome, and {error.name} isn't installed: pip install coincurve "
            "pycryptodome (where pip finds no wheel of coincurve it needs a C compiler)"
        ) from None
