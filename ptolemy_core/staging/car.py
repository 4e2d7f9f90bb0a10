"""A staged CAR's bytes, by the same interface as a generated one's: `car.reading.CarBytes`."""

import os
from types import TracebackType
from typing import Self

from ptolemy_core.car.reading import check_range, read_bytes
from ptolemy_core.errors import StagingError

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class StagedCar:
    """A CAR that is a file. Any thread may read.

    Attributes:
        size: bytes.

    Raises:
        StagingError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = os.open(path, _FLAGS)
        except OSError as error:
            raise _unreadable(path, error) from error
        self.size = os.fstat(self._file).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def fileno(self) -> int:
        """The descriptor of its file."""
        return self._file

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the CAR; raises as `read_into` does."""
        return read_bytes(self, offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`.

        Raises:
            StagingError: the file can't be read, or was cut off.
            ValueError: the range isn't inside the CAR.
        """
        check_range(self.size, offset, len(buffer))
        done = 0
        while done < len(buffer):
            try:
                got = os.preadv(self._file, [buffer[done:]], offset + done)
            except OSError as error:
                raise _unreadable(self._path, error) from error
            if not got:
                raise StagingError(
                    f"the CAR {self._path} ends at {offset + done} bytes, it had {self.size}: "
                    "something cut it off; blitz again to rebuild it"
                )
            done += got


def _unreadable(path: str, error: OSError) -> StagingError:
    return StagingError(f"the CAR {path} can't be read ({error.strerror}): see that it is there and readable")
