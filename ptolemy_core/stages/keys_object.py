"""The data keys of an encrypted project as an object beside its CARs: see `keys_file`."""

from ptolemy_core.errors import StagingError
from ptolemy_core.project import Project
from ptolemy_core.source.store_errors import ChangedError, StoreError
from ptolemy_core.stages.keys_file import aside_name
from ptolemy_core.staging.store import StoreArea
from ptolemy_core.staging.whole_objects import Seen


class KeysObject:
    """An object of data keys; see `keys_file.Place`.

    It replaces only what `content` gave before. A store that doesn't answer is an error: it may have other data keys.
    """

    def __init__(self, project: Project, name: str) -> None:
        area = StoreArea(project.staging_dir, project.source_profile, project.local_dir)
        self._url = area.path(name)
        self._name = name
        self._objects = area.objects()
        self._there: tuple[bytes, Seen] | None = None

    def content(self) -> bytes | None:
        """What is there."""
        try:
            self._there = self._objects.read(self._name)
        except StoreError as error:
            raise self._unusable(error) from None
        return None if self._there is None else self._there[0]

    def put_aside(self) -> None:
        """Put the same under another name."""
        assert self._there is not None
        number = 1
        while not self._put(aside_name(self._name, number), self._there[0], None):
            number += 1

    def replace(self, content: bytes) -> None:
        """Put other content in its place; it may be there by now, from another machine that builds."""
        if not self._put(self._name, content, self._there and self._there[1]) and self.content() != content:
            raise StagingError(f"{self._url} was written by another process just now: try again")

    def _put(self, name: str, content: bytes, instead_of: Seen | None) -> bool:
        """Put an object; False if something else is there."""
        try:
            self._objects.put(name, content, instead_of)
        except ChangedError:
            return False
        except StoreError as error:
            raise self._unusable(error) from None
        return True

    def _unusable(self, error: StoreError) -> StagingError:
        return StagingError(
            f"the data keys can't be kept as {self._url} ({error}): check the store and the credentials, then try "
            "again"
        )
