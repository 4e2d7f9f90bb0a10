"""A source that encrypts files, names and link targets as they are read: what CARs of encrypted projects hold.

Paths are those in CARs, and stamps have the sizes of encrypted files. Any thread encrypts any segment, since the
header of each version of a file is known. Outlines keep a header, which is public, and the path behind it: so a CAR's
bytes can be generated from its outline, the source and the project's keys.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.encryption import Header, plain_size
from ptolemy_core.encryption.headers import PREFIX, SALT
from ptolemy_core.encryption.segments import HEADER, TAG
from ptolemy_core.errors import DamagedError
from ptolemy_core.kernel import Buffer
from ptolemy_core.source import refusals
from ptolemy_core.source.protocol import Files, ReadsMany, State
from ptolemy_core.source.stamps import Stamp, Stamps
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import FileCipher, ProjectCipher


class Original(NamedTuple):
    """What an entry in a CAR was made of: its path in the source, that in the CAR, and of a file its header."""

    path: bytes
    car_path: bytes
    header: bytes | None


class EncryptedSource:
    """The entries of CARs, encrypted.

    Args:
        plain: the source.
        cipher: of the project.
        originals: of entries, by their paths in CARs; others are found by paths that outlines keep.
    """

    def __init__(
        self, plain: Files, cipher: "ProjectCipher", originals: Mapping[bytes, Original] | None = None
    ) -> None:
        self._plain = plain
        self._cipher = cipher
        self._originals = originals or {}
        self._many = plain if isinstance(plain, ReadsMany) else None

    def kept_path(self, path: bytes) -> bytes:
        """The path that an outline keeps of a file: its header and its path in the CAR."""
        return (self._original(path).header or b"") + path

    def name(self, path: bytes) -> str:
        """The entry's name in the source."""
        return self._plain.name(self._original(path).path)

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> State | None:
        """Fill the buffers with the encrypted file's bytes; if this raises, they hold no plaintext.

        Raises:
            SourceError: the file can't be read, or changed.
        """
        from ptolemy_core.encryption import Encrypted

        original, plain = self._original(path), self._plain_stamp(stamp)
        cipher = self._file(original, stamp.size)
        reader = _OneFile(self._plain, original.path, plain)
        Encrypted(reader, cipher).read(offset, buffers)
        if not reader.was_read:  # an empty file, or a range without plaintext
            return self._plain.read(reader.path, 0, [], plain)
        return reader.state

    def read_many(
        self, names: Sequence[bytes], buffer: Buffer, offsets: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64] | None]:
        """Read and encrypt whole files of one segment; those that weren't read are left as zeros."""
        done = np.zeros(len(names), dtype=np.bool_)
        states = np.zeros((len(names), 2), dtype=np.int64)
        fits = stamps.sizes <= self._cipher.form.segment
        rows = np.flatnonzero(fits & (stamps.sizes >= HEADER + TAG))
        if self._many is None or not len(rows):
            return done, states
        chosen = [self._original(names[k]) for k in rows.tolist()]
        plain = Stamps(stamps.sizes[rows] - (HEADER + TAG), stamps.tokens[rows], stamps.strong)
        good, found = self._many.read_many(
            [one.path for one in chosen], buffer, offsets[rows] + HEADER, plain
        )
        with memoryview(buffer) as raw, raw.cast("B") as view:
            for k, row in enumerate(rows.tolist()):
                at, size = int(offsets[row]), int(stamps.sizes[row])
                with view[at : at + size] as out, out[HEADER : size - TAG] as inner:
                    if good[k]:
                        self._file(chosen[k], size).encrypt(0, inner, out)
                    else:
                        out[:] = bytes(size)
        done[rows] = good
        if found is None:
            return done, None
        states[rows] = found
        return done, states

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        """Check that a file still has its stamp, or that an empty folder still exists."""
        plain = self._plain_stamp(stamp) if kind == Kind.FILE else stamp
        self._plain.check(self._original(path).path, kind, plain)

    def link(self, path: bytes) -> bytes:
        """The encrypted target of a link."""
        original = self._original(path)
        return self._cipher.car_target(original.car_path, self._plain.link(original.path))

    def _original(self, path: bytes) -> Original:
        known = self._originals.get(path)
        if known is not None:
            return known
        header, car_path = path[: SALT + PREFIX], path[SALT + PREFIX :]
        known = self._originals.get(car_path)
        return Original(known.path if known else self._cipher.real_path(car_path), car_path, header)

    def _file(self, original: Original, size: int) -> "FileCipher":
        if original.header is None:
            raise DamagedError(
                f"{paths.display(original.path)} has no salt in the catalog, so it can't be encrypted: the catalog "
                "is damaged, use a copy of it"
            )
        plain = plain_size(size, self._cipher.form.segment)
        return self._cipher.file(original.car_path, Header.of_bytes(original.header), plain)

    def _plain_stamp(self, stamp: Stamp) -> Stamp:
        return Stamp(plain_size(stamp.size, self._cipher.form.segment), stamp.token, stamp.strong)


class _OneFile:
    """Reads a file of the source, and sees that all reads find it in one state."""

    def __init__(self, source: Files, path: bytes, stamp: Stamp) -> None:
        self.path = path
        self.state: State | None = None
        self.was_read = False
        self._source = source
        self._stamp = stamp

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        state = self._source.read(self.path, offset, buffers, self._stamp)
        if self.was_read and state != self.state:
            raise refusals.torn(self._source.name(self.path))
        self.state, self.was_read = state, True
        return sum(map(len, buffers))
