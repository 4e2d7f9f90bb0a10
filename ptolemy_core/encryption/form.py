"""Sizes of a project's entries in its CARs, which need no key: encrypted files and link targets are larger.

The catalog has sizes and ranges of the plain files. A shard is a whole number of segments, so its range converts both
ways without loss: `Form.encrypted` and `Form.plain`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.encryption.segments import HEADER, SEGMENT, TAG
from ptolemy_core.tree import Kind

_Numbers = NDArray[np.int64]
_NAME_TAG = 16


@dataclass(frozen=True, slots=True)
class Form:
    """What is encrypted in a project's CARs.

    Attributes:
        files: contents of files.
        names: names and targets of links.
        segment: bytes of a segment: a leaf of the profile.
    """

    files: bool = False
    names: bool = False
    segment: int = SEGMENT

    def sizes(self, kinds: NDArray[np.int8], sizes: _Numbers) -> _Numbers:
        """Bytes that entries have in CARs, by their sizes in the source."""
        out = sizes.copy()
        if self.files:
            files = kinds == Kind.FILE
            out[files] = self._file_sizes(sizes[files])
        if self.names:
            links = kinds == Kind.SYMLINK
            out[links] = encrypted_length(sizes[links])
        return out

    def encrypted(
        self, kinds: NDArray[np.int8], wholes: _Numbers, starts: _Numbers, lengths: _Numbers
    ) -> tuple[_Numbers, _Numbers]:
        """Starts and lengths of shards in CARs, from those in the source; `wholes` are sizes of the plain files."""
        if not self.files:
            return starts, self.sizes(kinds, lengths)
        files = kinds == Kind.FILE
        begin = self._segment_of(starts) * self.segment
        end = self._segment_of(starts + lengths) * self.segment
        last = starts + lengths == wholes
        end[last] = self._file_sizes(wholes[last])
        return np.where(files, begin, starts), np.where(files, end - begin, self.sizes(kinds, lengths))

    def plain(
        self, kinds: NDArray[np.int8], wholes: _Numbers, starts: _Numbers, lengths: _Numbers
    ) -> tuple[_Numbers, _Numbers]:
        """Starts and lengths of files' shards in the source, from those in CARs; `wholes` are as for `encrypted`.

        Of links and folders the length is the whole.
        """
        if not self.files:
            return starts, np.where(kinds == Kind.FILE, lengths, wholes)
        files = kinds == Kind.FILE
        begin = self._plain_start(starts)
        end = self._plain_start(starts + lengths)
        last = starts + lengths == self._file_sizes(wholes)
        end[last] = wholes[last]
        return np.where(files, begin, starts), np.where(files, end - begin, wholes)

    def file_size(self, plain: int) -> int:
        """Bytes of a file in CARs."""
        return int(self._file_sizes(np.array([plain], dtype=np.int64))[0]) if self.files else plain

    def file_range(self, whole: int, start: int, length: int) -> tuple[int, int]:
        """Start and length of one shard of a file in CARs."""
        starts, lengths = self.encrypted(
            np.array([Kind.FILE], dtype=np.int8),
            *(np.array([number], dtype=np.int64) for number in (whole, start, length)),
        )
        return int(starts[0]), int(lengths[0])

    def _file_sizes(self, plain: _Numbers) -> _Numbers:
        first, rest = self.segment - HEADER - TAG, self.segment - TAG
        count = 1 + np.maximum(0, -(-(plain - first) // rest))
        out: _Numbers = HEADER + plain + TAG * count
        return out

    def _segment_of(self, offsets: _Numbers) -> _Numbers:
        """The number of the segment that starts at these offsets of the plain file."""
        first, rest = self.segment - HEADER - TAG, self.segment - TAG
        return np.where(offsets < first, 0, 1 + (offsets - first) // rest)

    def _plain_start(self, offsets: _Numbers) -> _Numbers:
        """Where the segments that start at these offsets of the encrypted file start in the plain one."""
        first, rest = self.segment - HEADER - TAG, self.segment - TAG
        number = offsets // self.segment
        return np.where(number == 0, 0, first + (number - 1) * rest)


PLAIN = Form()
"""Nothing is encrypted."""


def encrypted_length(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of encrypted names or targets, by their bytes in plain."""
    return -(-8 * (sizes + _NAME_TAG) // 5)
