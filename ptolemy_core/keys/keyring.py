"""The keyring: a file with the keys of aliases, which only its owner may read.

It is JSON: for each alias the versions of its key, with the day each was made, the key's bytes in base64 and its ID.
A destroyed version keeps its number and loses its bytes, so that no number is used twice. The file is replaced as a
whole (written beside it, synced, renamed), under a lock, so it is never seen half written.
"""

import base64
import binascii
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from ptolemy_core.errors import DamagedError, KeyStoreError, SettingsError, UnknownKeyError
from ptolemy_core.keys.key import KEY_BYTES, Key, by_version, check_alias
from ptolemy_core.keys.private_file import MODE, check_private, write_private
from ptolemy_core.keys.secret import Secret, random_secret, secret_id

KEYRING = "PTOLEMY_KEYRING"
"""Environment variable with the keyring's path."""

FILE_NAME = "keyring.json"
_FORMAT = "ptolemy-keyring/1"
_LONGEST = 16 << 20
_Result = TypeVar("_Result")


def keyring_path(home: str, environment: Mapping[str, str]) -> str:
    """Where the keyring is: at PTOLEMY_KEYRING, or in the home folder."""
    chosen = environment.get(KEYRING)
    return os.path.abspath(os.path.expanduser(chosen)) if chosen else os.path.join(home, FILE_NAME)


class Keyring:
    """A keyring file, as a provider of keys and as the place where they are made and destroyed.

    Any number of processes may use it. Where the file isn't there, it has no keys; the first `create` makes it.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """What it is, for messages."""
        return f"the keyring {self.path}"

    def aliases(self) -> list[str]:
        """All aliases, sorted."""
        return sorted({key.alias for key in self._read()})

    def versions(self, alias: str) -> list[Key]:
        """All versions of an alias, the oldest first."""
        return by_version(self._read(), alias)

    def create(self, alias: str) -> Key:
        """A new key under a new alias.

        Raises:
            SettingsError: the alias is there, or can't be one.
            KeyStoreError, DamagedError: the file can't be read or written.
        """
        check_alias(alias)

        def change(keys: list[Key]) -> Key:
            if by_version(keys, alias):
                raise SettingsError(
                    f"{self.place} has a key {alias} already: `ptolemy keys rotate {alias}` makes a new version of "
                    "it; or use another alias"
                )
            keys.append(_new_key(alias, 1))
            return keys[-1]

        return self._change(change)

    def rotate(self, alias: str) -> Key:
        """A new version of an alias's key; the older ones stay.

        Raises:
            UnknownKeyError: there is no such alias.
            KeyStoreError, DamagedError: the file can't be read or written.
        """

        def change(keys: list[Key]) -> Key:
            keys.append(_new_key(alias, self._of(keys, alias)[-1].version + 1))
            return keys[-1]

        return self._change(change)

    def add(self, keys: Iterable[Key]) -> list[Key]:
        """Take keys of a backup in; those that are there stay as they are.

        A destroyed version comes back, since whoever has a backup of it can read what it protects anyway.

        Returns:
            those that weren't there.

        Raises:
            SettingsError: a version is there with another key; nothing is changed then.
            KeyStoreError, DamagedError: the file can't be read or written.
        """
        coming = list(keys)

        def change(old: list[Key]) -> list[Key]:
            places = {(key.alias, key.version): number for number, key in enumerate(old)}
            new = []
            for key in coming:
                number = places.get((key.alias, key.version))
                if number is None:
                    places[key.alias, key.version] = len(old)
                    old.append(key)
                    new.append(key)
                elif old[number].secret is None:
                    old[number] = replace(key, created=key.created or old[number].created)
                    new.append(old[number])
                elif old[number].secret != key.secret:
                    raise SettingsError(
                        f"{self.place} has another key for version {key.version} of {key.alias} (ID "
                        f"{old[number].id}, the new one's is {key.id}): use another keyring for it, by {KEYRING}"
                    )
            return new

        return self._change(change)

    def destroy(self, alias: str, version: int | None = None) -> list[Key]:
        """Remove the bytes of a version of an alias's key, or of all of its versions.

        Other copies of the file, backups and what a disk keeps of overwritten files aren't reached.

        Returns:
            the versions that were destroyed, without their bytes.

        Raises:
            UnknownKeyError: there is no such alias or version, or nothing of it is left.
            KeyStoreError, DamagedError: the file can't be read or written.
        """

        def change(keys: list[Key]) -> list[Key]:
            chosen = [
                key
                for key in self._of(keys, alias)
                if version in (None, key.version) and key.secret is not None
            ]
            if not chosen:
                which = f"version {version} of key {alias}" if version else f"a version of key {alias}"
                raise UnknownKeyError(
                    f"{self.place} has no {which} that isn't destroyed; see `ptolemy keys list`"
                )
            gone = [Key(alias, key.version, None, key.created, _now()) for key in chosen]
            for old, new in zip(chosen, gone, strict=True):
                keys[keys.index(old)] = new
            return gone

        return self._change(change)

    def _of(self, keys: list[Key], alias: str) -> list[Key]:
        versions = by_version(keys, check_alias(alias))
        if not versions:
            raise UnknownKeyError(
                f"there is no key {alias} in {self.place}; `ptolemy keys list` shows those that are there"
            )
        return versions

    def _change(self, change: Callable[[list[Key]], _Result]) -> _Result:
        """Let a function change the list of keys, and write the list."""
        with self._locked():
            keys = self._read()
            result = change(keys)
            try:
                _replace(os.path.realpath(self.path), _encode(keys))
            except OSError as error:
                raise self._unusable("written", error) from None
        return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time changes the file."""
        lock = os.path.realpath(self.path) + ".lock"
        try:
            os.makedirs(os.path.dirname(lock), mode=0o700, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        except OSError as error:
            raise self._unusable("locked", error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> list[Key]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable("read", error) from None
        try:
            check_private(os.fstat(descriptor), self.place, KEYRING, "rotate its keys")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(_LONGEST)
        except OSError as error:
            raise self._unusable("read", error) from None
        finally:
            os.close(descriptor)
        return self._decode(data)

    def _decode(self, data: bytes) -> list[Key]:
        try:
            value = json.loads(data)
            if value["format"] != _FORMAT:
                raise KeyStoreError(
                    f"{self.place} has a format that this version doesn't know, it must be {_FORMAT}: upgrade Ptolemy"
                )
            keys = [
                _key_of(alias, version) for alias, versions in value["keys"].items() for version in versions
            ]
            if len({(key.alias, key.version) for key, _ in keys}) < len(keys):
                raise ValueError("a version is there twice")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SettingsError):
            # the cause would quote the file
            raise DamagedError(
                f"{self.place} is damaged: put a copy or a backup of it in its place"
            ) from None
        for key, expected in keys:
            if key.secret is not None and (len(key.secret) != KEY_BYTES or secret_id(key.secret) != expected):
                raise DamagedError(
                    f"version {key.version} of key {key.alias} in {self.place} is damaged, it doesn't match its own "
                    "ID: put a copy or a backup of the keyring in its place"
                )
        return [key for key, _ in keys]

    def _unusable(self, done: str, error: OSError) -> KeyStoreError:
        if error.errno == errno.ELOOP:
            return KeyStoreError(f"{self.place} can't be {done}: its lock file is a link; remove that link")
        return KeyStoreError(
            f"{self.place} can't be {done} ({error.strerror}): see that its folder is there and yours, or set "
            f"{KEYRING}"
        )


def _replace(path: str, data: bytes) -> None:
    """Put a file in the place of another at once; what an interrupted write left is removed first."""
    part = path + ".new"
    with suppress(FileNotFoundError):
        os.unlink(part)
    write_private(part, data)
    os.replace(part, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _new_key(alias: str, version: int) -> Key:
    return Key(alias, version, random_secret(KEY_BYTES), created=_now())


def _key_of(alias: Any, value: Any) -> tuple[Key, str]:
    """A key of the file, and the ID that it should have."""
    check_alias(alias)
    version = value["version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError
    encoded, created, destroyed = (
        value.get("key"),
        str(value.get("created", "")),
        str(value.get("destroyed", "")),
    )
    if encoded is None:
        return Key(alias, version, None, created, destroyed), ""
    try:
        secret = Secret(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        raise ValueError from None
    return Key(alias, version, secret, created, destroyed), str(value["id"])


def _encode(keys: Iterable[Key]) -> bytes:
    aliases: dict[str, list[dict[str, object]]] = {}
    for key in sorted(keys, key=lambda key: (key.alias, key.version)):
        entry: dict[str, object] = {"version": key.version, "created": key.created}
        if key.secret is None:
            entry["destroyed"] = key.destroyed
        else:
            entry |= {"key": base64.b64encode(key.secret.reveal()).decode("ascii"), "id": key.id}
        aliases.setdefault(key.alias, []).append(entry)
    return json.dumps({"format": _FORMAT, "keys": aliases}, indent=2).encode() + b"\n"
