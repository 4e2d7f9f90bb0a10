"""Reading, and where need be listing, with obstore: S3, Google Cloud Storage, Azure, plain HTTP."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ptolemy_core.errors import SettingsError
from ptolemy_core.source.listing import Object
from ptolemy_core.source.store_client import Head, Keys, OddKeyError
from ptolemy_core.source.store_errors import GoneError, Retry, StoreError, of_exception, patience, retried
from ptolemy_core.source.tokens import token_of

_CHUNK = 1 << 20
"""Bytes of an answer that are copied at once."""

_PAGE = 1000
_BAD_KEY = re.compile(r'path: "([^"]{1,1024})"')
_THREADS = 16


def made(make: Callable[[], Any]) -> Any:
    """The store of obstore's that `make` makes; what is wrong with its settings is told without secrets.

    Raises:
        SettingsError: its settings can't be.
    """
    try:
        return make()
    except Exception as error:  # what obstore raises has no common base
        raise SettingsError(
            f"the store can't be used with the settings that the environment gives ({type(error).__name__}): "
            "check them (docs/sources.md)"
        ) from None


class ObstoreClient:
    """A client on obstore; see `Client`."""

    def __init__(self, store: Any) -> None:
        """Read from a store of obstore's."""
        import obstore

        self._api: Any = obstore
        self._store = store

    def head(self, key: str) -> Head:
        """What the store says of an object."""
        try:
            return _head(self._api.head(self._store, key))
        except Exception as error:
            raise of_exception(error) from None

    def get(self, key: str, start: int, end: int, etag: str | None = None) -> "ObstoreAnswer":
        """A range of an object, of the version with an ETag if one is given."""
        options: Any = {"range": (start, end)} | ({} if etag is None else {"if_match": etag})
        try:
            result = self._api.get(self._store, key, options=options)
            return ObstoreAnswer(_head(result.meta), result, start)
        except StoreError:
            raise
        except Exception as error:
            raise of_exception(error) from None

    def whole(self, key: str) -> tuple[Head, memoryview]:
        """A small object."""
        try:
            result = self._api.get(self._store, key)
            return _head(result.meta), memoryview(result.bytes())
        except Exception as error:
            raise of_exception(error) from None


@dataclass(frozen=True, slots=True)
class ObstoreAnswer:
    """A range that is being read; see `Answer`."""

    head: Head
    result: Any
    start: int

    def parts(self) -> Iterator[memoryview]:
        """The bytes, as they come."""
        if self.result.range[0] != self.start:
            raise StoreError("it doesn't heed ranges")
        try:
            for part in self.result.stream(min_chunk_size=_CHUNK):
                yield memoryview(part)
        except Exception as error:
            raise of_exception(error) from None


def _head(meta: Any) -> Head:
    etag = meta["e_tag"]
    strong = etag if etag and not etag.startswith("W/") else None
    return Head(meta["size"], token_of(etag, meta["last_modified"]), strong)


class ObstoreKeys:
    """Lists with obstore; see `store_client.Keys`.

    It trims slashes at the ends of keys. So an object without bytes may be the marker of a folder, whose key ends in
    a slash: it is one if there is nothing under the key without it. It refuses a whole listing for one key with an
    empty name, . or .. in it: then the keys are listed by another lister, if there is one.
    """

    def __init__(self, store: Any, client: ObstoreClient, other: Callable[[], Keys | None]) -> None:
        """List a store of obstore's; `other` makes a lister that takes every key, if it can."""
        import obstore

        self._other = other

        self._api: Any = obstore
        self._store = store
        self._client = client

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All objects below a prefix; after an interruption the listing continues where it stopped.

        Raises:
            OddKeyError: there is a key that has to be listed by another lister.
        """
        retry, last = Retry(patience()), None
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="markers") as pool:
            while True:
                try:
                    for page in self._pages(prefix, last):
                        retry.succeeded()
                        last = page[-1]["path"]
                        yield list(pool.map(self._object, page))
                    return
                except StoreError as error:
                    retry.wait_after(error)

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether a key begins with the prefix; the store may be away for so long."""
        try:
            return retried(lambda: next(self._pages(prefix, None), None) is not None, seconds)
        except OddKeyError as error:
            return error.keys.any(prefix, seconds)

    def has_folder(self, key: str) -> bool:
        """Whether the level of the key has a folder of its name: obstore doesn't list a marker below itself."""
        parent = key.rpartition("/")[0] or None
        try:
            return retried(lambda: key in self._folders(parent))
        except OddKeyError as error:
            return error.keys.has_folder(key)

    def _folders(self, parent: str | None) -> list[str]:
        try:
            found: list[str] = self._api.list_with_delimiter(self._store, parent)["common_prefixes"]
        except Exception as error:
            raise self._refused(error) from None
        return found

    def _pages(self, prefix: str, after: str | None) -> Iterator[list[Any]]:
        try:
            for page in self._api.list(
                self._store, prefix.rstrip("/") or None, offset=after, chunk_size=_PAGE
            ):
                if page:
                    yield page
        except Exception as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> StoreError:
        named = _BAD_KEY.search(str(error))
        if type(error).__name__ != "InvalidPathError" or not named:
            return of_exception(error)
        other = self._other()
        if other is not None:
            return OddKeyError(other)
        return StoreError(
            f"its key {named[1]!r} has an empty name, . or .. in it, and its client can't list such with these "
            "credentials: rename it, or use a key of the account (docs/sources.md)"
        )

    def _object(self, meta: Any) -> Object:
        key, token = meta["path"], token_of(meta["e_tag"], meta["last_modified"])
        if not meta["size"]:
            try:
                retried(lambda: self._client.head(key))
            except GoneError:
                return Object(key + "/", 0, token)
        return Object(key, meta["size"], token)
