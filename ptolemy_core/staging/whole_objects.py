"""Objects of a prefix that are put in one request each, and only in place of what was seen there before.

So of two writers of one key neither replaces the other's object unseen. Where a store has no conditional requests,
the object is put without a condition. All methods raise StoreError, which names no secret.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ptolemy_core import urls
from ptolemy_core.kernel import Buffer
from ptolemy_core.source.remote import open_store
from ptolemy_core.source.store_errors import ChangedError, GoneError, StoreError, of_exception, retried

_T = TypeVar("_T")
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class Seen:
    """What was at a key: how its store names that version, and its bytes' number."""

    etag: str | None
    version: str | None
    size: int


class WholeObjects:
    """Objects below a URL.

    Args:
        url: of the prefix.
        profile: of the credentials; None: the environment's.
    """

    def __init__(self, url: str, profile: str | None) -> None:
        import obstore

        self._api: Any = obstore
        location = urls.parse(url)
        self._prefix = location.prefix
        self._store = open_store(location, profile)

    def look(self, name: str) -> Seen | None:
        """What is at a key; None if nothing is."""
        try:
            return _seen(_asked(lambda: self._api.head(self._store, self._prefix + name)))
        except GoneError:
            return None

    def read(self, name: str) -> tuple[bytes, Seen] | None:
        """The bytes at a key; None if nothing is there."""

        def ask() -> tuple[bytes, Seen]:
            found = self._api.get(self._store, self._prefix + name)
            return bytes(found.bytes()), _seen(found.meta)

        try:
            return _asked(ask)
        except GoneError:
            return None

    def put(self, name: str, content: Buffer, instead_of: Seen | None) -> None:
        """Put an object in place of what was seen, or where nothing was.

        Raises:
            ChangedError: something else is there now, or these very bytes, if a try went through unanswered.
        """
        mode: Any = "create"
        if instead_of is not None:
            named = {"e_tag": instead_of.etag, "version": instead_of.version}
            mode = {key: value for key, value in named.items() if value is not None}

        try:
            self._send(name, content, mode)
        except GoneError as error:  # what was seen is gone
            raise ChangedError(str(error), status=412) from None
        except StoreError as error:
            if error.status != _NOT_IMPLEMENTED:
                raise
            self.overwrite(name, content)

    def overwrite(self, name: str, content: Buffer) -> None:
        """Put an object, whatever is there."""
        self._send(name, content, "overwrite")

    def _send(self, name: str, content: Buffer, mode: Any) -> None:
        key = self._prefix + name
        _asked(lambda: self._api.put(self._store, key, content, mode=mode, use_multipart=False))

    def copy(self, name: str, to: str) -> None:
        """Let the store copy an object to another key, whatever is there."""
        _asked(lambda: self._api.copy(self._store, self._prefix + name, self._prefix + to))

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        try:
            _asked(lambda: self._api.delete(self._store, self._prefix + name))
        except GoneError:
            return


def _asked(ask: Callable[[], _T]) -> _T:
    """What a request gives, which is made again where that may help."""

    def once() -> _T:
        try:
            return ask()
        except Exception as error:
            raise of_exception(error) from None

    return retried(once)


def _seen(meta: Any) -> Seen:
    return Seen(meta["e_tag"], meta["version"], meta["size"])
