"""Counts over the entries that a scan leaves live, kept while they pass: nobody has to count their rows again."""

from dataclasses import asdict, dataclass

from ptolemy_core.catalog.scans import LiveTotals
from ptolemy_core.source.listed import Listed
from ptolemy_core.tree import LEFT_OUT, Kind

_FILE = int(Kind.FILE)


@dataclass(slots=True)
class Tally:
    """What has passed so far: see `LiveTotals`."""

    files: int = 0
    empty_files: int = 0
    links: int = 0
    empty_folders: int = 0
    left_out: int = 0
    data_bytes: int = 0
    largest: int = 0

    def add(self, batch: Listed) -> int:
        """Count entries; returns the bytes of the files among them."""
        kinds, sizes = batch.kinds, batch.sizes
        files = kinds.count(_FILE)
        if files < len(kinds):
            self.links += kinds.count(int(Kind.SYMLINK))
            self.empty_folders += kinds.count(int(Kind.DIRECTORY))
            self.left_out += kinds.count(LEFT_OUT)
            sizes = [size for size, kind in zip(sizes, kinds, strict=True) if kind == _FILE]
        self.files += files
        self.empty_files += sizes.count(0)
        self.largest = max(self.largest, max(sizes, default=0))
        data = sum(sizes)
        self.data_bytes += data
        return data

    def totals(self) -> LiveTotals:
        """All that has passed."""
        return LiveTotals(**asdict(self))
