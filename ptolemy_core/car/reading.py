"""A CAR that any byte range can be read of, whether it is a file or generated: a protocol."""

from typing import Protocol


class CarBytes(Protocol):
    """The bytes of one CAR. Any thread may read.

    Attributes:
        size: bytes.
    """

    @property
    def size(self) -> int:
        """Bytes of the CAR."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`.

        Raises:
            SourceError: of a generated CAR, a source can't be read or changed; the buffer's content is undefined,
                but holds nothing of the changed source.
            OutlineError, StagingError: the file of the outline, or the CAR's, can't be read.
            ValueError: the range isn't inside the CAR.
        """

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes of the CAR from `offset`; raises as `read_into` does."""

    def close(self) -> None:
        """Close the files; nothing may be read any more."""


def read_bytes(car: CarBytes, offset: int, length: int) -> bytes:
    """`length` bytes of a CAR from `offset`; raises as `CarBytes.read_into` does."""
    check_range(car.size, offset, length)  # before memory of that size is taken
    buffer = bytearray(length)
    car.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def check_range(size: int, offset: int, length: int) -> None:
    """Do nothing if a range is inside a CAR of `size` bytes.

    Raises:
        ValueError: it isn't.
    """
    if offset < 0 or length < 0 or offset + length > size:
        raise ValueError(f"bytes {offset} to {offset + length} are not inside a CAR of {size} bytes")
