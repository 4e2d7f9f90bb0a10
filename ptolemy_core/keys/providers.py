"""Where keys come from: a protocol of three primitives, and the providers other than the keyring.

A provider knows aliases and supplies the versions of their keys. `keyring` is the provider that is a file; here are
an environment variable, a command (for vaults and key management services), and a chain that tries several in order.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from ptolemy_core.errors import SettingsError, UnknownKeyError, WrongKeyError
from ptolemy_core.keys.command import SecretCommand
from ptolemy_core.keys.key import Key, by_version, check_alias, parse_keys
from ptolemy_core.keys.secret import Secret

KEYS = "PTOLEMY_KEYS"
"""Environment variable with texts of keys."""

COMMAND = "PTOLEMY_KEY_COMMAND"
"""Environment variable with a command that prints texts of keys; `{alias}` in it is replaced by the alias."""

TIMEOUT = "PTOLEMY_KEY_TIMEOUT"
"""Environment variable with the command's time limit in seconds."""

_SECONDS = 30.0


class KeyProvider(Protocol):
    """A source of keys."""

    @property
    def place(self) -> str:
        """Its description, for messages: "the keyring /home/anna/.ptolemy/keyring.json"."""

    def aliases(self) -> list[str]:
        """The aliases that it can list, sorted; a command, which takes one alias at a time, can't list any."""

    def versions(self, alias: str) -> list[Key]:
        """All versions of an alias's key, oldest first, including destroyed ones; empty if there is no such alias.

        Raises:
            KeyStoreError: the keys can't be read.
            DamagedError: the content isn't keys.
        """


def newest_key(provider: KeyProvider, alias: str) -> tuple[Key, Secret]:
    """The newest version of an alias's key, which wraps new data keys, and its bytes.

    Raises:
        UnknownKeyError: there is none, or it was destroyed.
        EncryptionError: raised by the provider.
    """
    versions = provider.versions(check_alias(alias))
    if not versions:
        raise _unknown(provider, alias)
    return versions[-1], _secret(versions[-1], provider)


def find_key(provider: KeyProvider, alias: str, version: int, key_id: str) -> tuple[Key, Secret]:
    """The key that was used to wrap a data key, and its bytes.

    Raises:
        UnknownKeyError: there is no key of that alias and version, or it was destroyed.
        WrongKeyError: the key of that alias and version has another ID.
        EncryptionError: raised by the provider.
    """
    versions = provider.versions(check_alias(alias))
    if not versions:
        raise _unknown(provider, alias)
    for key in versions:
        if key.version == version:
            break
    else:
        raise UnknownKeyError(
            f"version {version} of key {alias} isn't in {provider.place}, which has "
            f"{_listed(versions)}: import that version from a backup"
        )
    secret = _secret(key, provider)
    if key.id != key_id:
        raise WrongKeyError(
            f"version {version} of key {alias} in {provider.place} is another key (ID {key.id}) than the one that "
            f"was used (ID {key_id}): use the keyring or backup that contains the one that was used"
        )
    return key, secret


def _secret(key: Key, provider: KeyProvider) -> Secret:
    if key.secret is None:
        when = f" on {key.destroyed}" if key.destroyed else ""
        raise UnknownKeyError(
            f"version {key.version} of key {key.alias} was destroyed in {provider.place}{when}: the data it protects "
            "can be read only with a backup of the key"
        )
    return key.secret


def _unknown(provider: KeyProvider, alias: str) -> UnknownKeyError:
    known = provider.aliases()
    names = f"; it has {', '.join(known)}" if known else ""
    return UnknownKeyError(
        f"there is no key {alias} in {provider.place}{names}: add it from a backup with `ptolemy keys import FILE`; "
        f"only if nothing is encrypted with it yet, create it with `ptolemy keys create {alias}`"
    )


def _listed(versions: Sequence[Key]) -> str:
    numbers = ", ".join(str(key.version) for key in versions)
    return f"version {numbers}" if len(versions) == 1 else f"versions {numbers}"


class TextKeys:
    """Keys from a text, such as an environment variable's value."""

    def __init__(self, text: str, place: str) -> None:
        """Parse the text.

        Raises:
            DamagedError: a line isn't the text of a key.
        """
        self.place = place
        self._keys = parse_keys(text, place)

    def aliases(self) -> list[str]:
        """All aliases in the text."""
        return sorted({key.alias for key in self._keys})

    def versions(self, alias: str) -> list[Key]:
        """The versions of an alias in the text."""
        return by_version(self._keys, alias)


class CommandKeys:
    """Keys printed by a command, for example `vault kv get -field=keys secret/ptolemy/{alias}`.

    It runs once for each alias, as `SecretCommand` does; its answer is kept in memory.
    """

    def __init__(self, command: str, seconds: float = _SECONDS) -> None:
        """`command` is split like in a shell; only `{alias}` is replaced in it.

        Raises:
            SettingsError: it isn't a command line.
        """
        self._command = SecretCommand(command, COMMAND, seconds, TIMEOUT)
        self._answers: dict[str, list[Key]] = {}
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The command's name, without its arguments, which may be confidential."""
        return self._command.place

    def aliases(self) -> list[str]:
        """Empty: the command takes one alias at a time."""
        return []

    def versions(self, alias: str) -> list[Key]:
        """The versions of an alias that the command prints.

        Raises:
            KeyStoreError: it can't be started, fails, takes too long or prints too much.
            DamagedError: it prints something other than keys.
        """
        check_alias(alias)
        with self._lock:
            if alias not in self._answers:
                self._answers[alias] = by_version(parse_keys(self._command.output(alias), self.place), alias)
            return list(self._answers[alias])


class KeyChain:
    """Several providers: the first one that knows an alias supplies its keys."""

    def __init__(self, providers: Sequence[KeyProvider]) -> None:
        self.providers = tuple(providers)

    @property
    def place(self) -> str:
        """The descriptions of all providers."""
        return " or ".join(provider.place for provider in self.providers)

    def aliases(self) -> list[str]:
        """The aliases of all providers."""
        return sorted({alias for provider in self.providers for alias in provider.aliases()})

    def versions(self, alias: str) -> list[Key]:
        """The versions from the first provider that knows the alias."""
        for provider in self.providers:
            versions = provider.versions(alias)
            if versions:
                return versions
        return []

    def provider_of(self, alias: str) -> KeyProvider | None:
        """The first provider that knows an alias; None if none does."""
        return next((provider for provider in self.providers if provider.versions(alias)), None)


def timeout_seconds(environment: Mapping[str, str]) -> float:
    """How long a command that prints keys may take.

    Raises:
        SettingsError: the variable isn't a valid number of seconds.
    """
    text = environment.get(TIMEOUT)
    if not text:
        return _SECONDS
    with suppress(ValueError):
        seconds = float(text)
        if 0 < seconds <= 3600:
            return seconds
    raise SettingsError(f"{TIMEOUT} must be more than 0 and at most 3600 seconds, got {text[:40]!r}")
