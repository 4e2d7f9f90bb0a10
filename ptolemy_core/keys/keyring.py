"""The keyring: a file with the keys of aliases, which only its owner may read.

It is JSON: for each alias the versions of its key, each with its creation time, its bytes in base64 and its ID. A
destroyed version keeps its number and ID without the bytes, so that no other key gets its number. The file is
replaced atomically (a new file is written, synced and renamed), under a lock.
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
_MAX_FILE = 16 << 20
_Result = TypeVar("_Result")


def keyring_path(home: str, environment: Mapping[str, str]) -> str:
    """The keyring's path: PTOLEMY_KEYRING, or the default file in the home folder."""
    chosen = environment.get(KEYRING)
    return os.path.abspath(os.path.expanduser(chosen)) if chosen else os.path.join(home, FILE_NAME)


class Keyring:
    """A keyring file: a key provider, where keys are also created and destroyed.

    Any number of processes may use it. A missing file is an empty keyring; the first `create` creates it.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """Its description, for messages."""
        return f"the keyring {self.path}"

    def aliases(self) -> list[str]:
        """All aliases, sorted."""
        return sorted({key.alias for key in self._read()})

    def versions(self, alias: str) -> list[Key]:
        """All versions of an alias, the oldest first."""
        return by_version(self._read(), alias)

    def create(self, alias: str, first: int = 1) -> Key:
        """Create a key with a new alias.

        Args:
            alias: of the key.
            first: number of its first version.

        Raises:
            SettingsError: the alias exists, or is invalid.
            KeyStoreError, DamagedError: the file can't be read or written.
        """
        check_alias(alias)

        def change(keys: list[Key]) -> Key:
            if by_version(keys, alias):
                raise SettingsError(
                    f"{self.place} already has a key {alias}: use `ptolemy keys rotate {alias}` for a new version of "
                    "it, or another alias"
                )
            keys.append(_new_key(alias, first))
            return keys[-1]

        return self._change(change)

    def rotate(self, alias: str) -> Key:
        """Create a new version of an alias's key; the older ones are kept.

        Raises:
            UnknownKeyError: there is no such alias.
            KeyStoreError, DamagedError: the file can't be read or written.
        """

        def change(keys: list[Key]) -> Key:
            keys.append(_new_key(alias, self._of(keys, alias)[-1].version + 1))
            return keys[-1]

        return self._change(change)

    def add(self, keys: Iterable[Key]) -> list[Key]:
        """Add keys from a backup; existing ones are unchanged.

        A destroyed version is restored: anyone with a backup of it can read what it protects anyway.

        Returns:
            the keys that were added.

        Raises:
            SettingsError: the keyring has a different key for a version; nothing is changed.
            KeyStoreError, DamagedError: the file can't be read or written.
        """
        added = list(keys)

        def change(old: list[Key]) -> list[Key]:
            places = {(key.alias, key.version): number for number, key in enumerate(old)}
            new = []
            for key in added:
                number = places.get((key.alias, key.version))
                if number is None:
                    places[key.alias, key.version] = len(old)
                    old.append(key)
                    new.append(key)
                elif old[number].secret is None and old[number].destroyed_id in ("", key.id):
                    old[number] = replace(key, created=key.created or old[number].created)
                    new.append(old[number])
                elif old[number].secret != key.secret:
                    has = "had" if old[number].secret is None else "has"
                    known = old[number].id or old[number].destroyed_id
                    raise SettingsError(
                        f"{self.place} {has} another key for version {key.version} of {key.alias} (ID {known}, the "
                        f"new one's is {key.id}): use another keyring for it, set in {KEYRING}"
                    )
            return new

        return self._change(change)

    def destroy(self, alias: str, version: int | None = None) -> list[Key]:
        """Remove the bytes of one version of an alias's key, or of all versions.

        This can't reach backups, other copies of the file, or remains of overwritten files on the disk.

        Returns:
            the versions that were destroyed, without their bytes.

        Raises:
            UnknownKeyError: there is no such alias or version, or it is already destroyed.
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
            destroyed = [Key(alias, key.version, None, key.created, _now(), key.id) for key in chosen]
            for old, new in zip(chosen, destroyed, strict=True):
                keys[keys.index(old)] = new
            return destroyed

        return self._change(change)

    def _of(self, keys: list[Key], alias: str) -> list[Key]:
        versions = by_version(keys, check_alias(alias))
        if not versions:
            raise UnknownKeyError(
                f"there is no key {alias} in {self.place}; `ptolemy keys list` shows the existing ones"
            )
        return versions

    def _change(self, change: Callable[[list[Key]], _Result]) -> _Result:
        """Apply a change to the list of keys, and write it."""
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
        """Lock the keyring: one process at a time changes it."""
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
                data = file.read(_MAX_FILE)
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
                    f"{self.place} has a format that this version doesn't support, it must be {_FORMAT}: upgrade "
                    "Ptolemy"
                )
            keys = [
                _key_of(alias, version) for alias, versions in value["keys"].items() for version in versions
            ]
            if len({(key.alias, key.version) for key, _ in keys}) < len(keys):
                raise ValueError("duplicate version")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SettingsError):
            # the cause would quote the file
            raise DamagedError(f"{self.place} is damaged: replace it with a copy or a backup") from None
        for key, expected in keys:
            if key.secret is not None and (len(key.secret) != KEY_BYTES or secret_id(key.secret) != expected):
                raise DamagedError(
                    f"version {key.version} of key {key.alias} in {self.place} is damaged, it doesn't match its own "
                    "ID: replace the keyring with a copy or a backup"
                )
        return [key for key, _ in keys]

    def _unusable(self, done: str, error: OSError) -> KeyStoreError:
        if error.errno == errno.ELOOP:
            return KeyStoreError(f"{self.place} can't be {done}: its lock file is a link; remove that link")
        return KeyStoreError(
            f"{self.place} can't be {done} ({error.strerror}): check that its folder exists and belongs to you, or "
            f"set {KEYRING}"
        )


def _replace(path: str, data: bytes) -> None:
    """Replace a file atomically; removes the leftover of an interrupted write first."""
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
    """A key of the file, and its expected ID."""
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
        return Key(alias, version, None, created, destroyed, str(value.get("id", ""))), ""
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
            if key.destroyed_id:
                entry["id"] = key.destroyed_id
        else:
            entry |= {"key": base64.b64encode(key.secret.reveal()).decode("ascii"), "id": key.id}
        aliases.setdefault(key.alias, []).append(entry)
    return json.dumps({"format": _FORMAT, "keys": aliases}, indent=2).encode() + b"\n"
