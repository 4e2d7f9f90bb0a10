"""Encrypting names and link targets with AES-SIV (RFC 5297), which is deterministic.

Each name of a path is encrypted separately, with the project's name key and two strings of associated data:
`ptolemy-name/1`, and the encrypted path of its parent with `/` between names. The result, 16 bytes longer, is written
in lower-case base32hex (RFC 4648) without padding. So the same name looks different in two folders, and a name can't
be moved to another folder. A link's target is encrypted as a whole, with `ptolemy-link/1` and the encrypted path of
the link.

A shard's suffix, `.ptolemyN`, follows the encrypted name (`layout.names.encode`); since base32hex has no dot, no
encrypted name looks like a shard's. Encrypted paths sort differently from plain ones.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ptolemy_core.encryption.text import decode, encode
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths

KEY_BYTES = 64
"""Bytes of a name key: two AES-256 keys."""

_NAME = b"ptolemy-name/1"
_LINK = b"ptolemy-link/1"
_CACHE_BYTES = 32 << 20
"""Bytes of cached folder paths, so that a name takes one encryption and not one per level."""


class NameCipher:
    """Encrypts and decrypts the names of one project. Thread-safe."""

    def __init__(self, name_key: Secret) -> None:
        """`name_key` is the project's name key, 64 bytes."""
        if len(name_key) != KEY_BYTES:
            raise ValueError(f"a name key has {KEY_BYTES} bytes, got {len(name_key)}")
        self._siv = AESSIV(name_key.reveal())
        self._encrypted = _FolderCache()
        self._plain = _FolderCache()

    def encrypt_path(self, path: bytes) -> bytes:
        """The encrypted path of an entry; both paths are NUL-joined."""
        folder, separator, name = path.rpartition(paths.SEPARATOR)
        if not path:
            return path  # the top
        parent = self._encrypted_folder(folder) if separator else b""
        return paths.join(parent, self._encrypt(name, parent))

    def decrypt_path(self, path: bytes) -> bytes:
        """The plain path of an entry, from its encrypted path without a shard's suffix.

        Raises:
            DamagedError: a name in it was changed or moved, or is another project's.
        """
        folder, separator, name = path.rpartition(paths.SEPARATOR)
        if not path:
            return path
        parent = self._plain_folder(folder) if separator else b""
        return paths.join(parent, self._decrypt(name, folder))

    def encrypt_target(self, path: bytes, target: bytes) -> bytes:
        """The encrypted target of a link; `path` is the link's encrypted path."""
        return encode(self._siv.encrypt(target, [_LINK, _slashed(path)]))

    def decrypt_target(self, path: bytes, target: bytes) -> bytes:
        """The plain target of a link; `path` is the link's encrypted path.

        Raises:
            DamagedError: it was changed, belongs to another link, or is another project's.
        """
        return self._open(target, [_LINK, _slashed(path)], "the target of link", path)

    def _encrypted_folder(self, folder: bytes) -> bytes:
        """The encrypted path of a folder; caches those of its parents too."""
        known = self._encrypted.get(folder)
        if known is not None:
            return known
        names = paths.names(folder)
        plain = encrypted = b""
        for name in names:
            plain = paths.join(plain, name)
            found = self._encrypted.get(plain)
            if found is None:
                found = self._encrypted.add(plain, paths.join(encrypted, self._encrypt(name, encrypted)))
            encrypted = found
        return encrypted

    def _plain_folder(self, folder: bytes) -> bytes:
        """The plain path of a folder; caches those of its parents too."""
        known = self._plain.get(folder)
        if known is not None:
            return known
        encrypted = plain = b""
        for name in paths.names(folder):
            child = paths.join(encrypted, name)
            found = self._plain.get(child)
            if found is None:
                found = self._plain.add(child, paths.join(plain, self._decrypt(name, encrypted)))
            encrypted, plain = child, found
        return plain

    def _encrypt(self, name: bytes, parent: bytes) -> bytes:
        return encode(self._siv.encrypt(name, [_NAME, _slashed(parent)]))

    def _decrypt(self, name: bytes, parent: bytes) -> bytes:
        return self._open(name, [_NAME, _slashed(parent)], "the name", paths.join(parent, name))

    def _open(self, text: bytes, associated: list[bytes], what: str, path: bytes) -> bytes:
        try:
            return self._siv.decrypt(decode(text), associated)
        except (InvalidTag, ValueError):
            raise DamagedError(
                f"{what} {paths.display(path)} can't be decrypted: it isn't encrypted, was changed or moved, or is "
                "another project's; check that the key is this project's"
            ) from None


def _slashed(path: bytes) -> bytes:
    return paths.to_slashes(path)


class _FolderCache:
    """A cache of folder paths in their other form. It is cleared when full: since entries come in path order, the
    needed ones are soon cached again."""

    def __init__(self) -> None:
        self._paths: dict[bytes, bytes] = {}
        self._bytes = 0

    def get(self, path: bytes) -> bytes | None:
        """The other form of a path, if it is cached."""
        return self._paths.get(path)

    def add(self, path: bytes, other: bytes) -> bytes:
        """Cache the other form of a path; returns it."""
        if self._bytes > _CACHE_BYTES:
            self._paths, self._bytes = {}, 0
        self._paths[path] = other
        self._bytes += len(path) + len(other)
        return other
