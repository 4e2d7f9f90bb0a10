"""An object of a staging area in a store, read by ranges: `car.reading.CarBytes`."""

from typing import TYPE_CHECKING

from ptolemy_core.car.reading import check_range, read_bytes
from ptolemy_core.errors import SourceChangedError, SourceError, StagingError
from ptolemy_core.tree import SEPARATOR

if TYPE_CHECKING:
    from ptolemy_core.staging.store import StoreArea


class StoreCar:
    """A CAR in a store, read by ranges of the one version that was opened. Any thread may read.

    Attributes:
        size: bytes.
        stamp: of the version that is read.

    Raises:
        StagingError: it isn't there, or can't be read.
    """

    def __init__(self, area: "StoreArea", name: str) -> None:
        self._source = area.source()
        self._path = entry_path(name)
        try:
            found = self._source.find(self._path)
        except SourceError as error:
            raise unreachable(error) from error
        if found is None:
            raise StagingError(f"the CAR {area.path(name)} isn't there: blitz again to rebuild it")
        self.stamp = found
        self.size = self.stamp.size

    def __enter__(self) -> "StoreCar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the CAR; raises as `read_into` does."""
        return read_bytes(self, offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`.

        Raises:
            StagingError: it can't be read, or was replaced.
            ValueError: the range isn't inside the CAR.
        """
        check_range(self.size, offset, len(buffer))
        if not len(buffer):
            return
        try:
            self._source.read(self._path, offset, [buffer], self.stamp)
        except SourceError as error:
            raise unreachable(error) from error


def entry_path(name: str) -> bytes:
    """The path that a name in the area has as an entry of a source."""
    return name.encode().replace(b"/", SEPARATOR)


def unreachable(error: SourceError) -> StagingError:
    """The store doesn't answer, or not as it should; or what is read isn't what it was."""
    text = str(error)
    if error.reason:  # its advice is for files of the source
        name, reason = text.partition(error.reason)[0], error.reason.replace(" since the scan", "")
        remedy = "see that the store answers, then run this again"
        if isinstance(error, SourceChangedError):
            remedy = "see what else writes or deletes there; ptolemy rebuild makes the CAR again"
        text = f"{name}{reason}: {remedy}"
    return StagingError(f"staging_dir: {text}")
