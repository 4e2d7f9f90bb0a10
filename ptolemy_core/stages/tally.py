"""Counts over the entries that a scan leaves live, kept while they pass: nobody has to count their rows again."""

from ptolemy_core.catalog.scans import LiveTotals
from ptolemy_core.source.listed import Listed
from ptolemy_core.tree import LEFT_OUT, Kind

_FILE = int(Kind.FILE)


def totals_of(batch: Listed) -> LiveTotals:
    """Counts over these entries."""
    kinds, sizes = batch.kinds, batch.sizes
    files = kinds.count(_FILE)
    if files < len(kinds):
        sizes = [size for size, kind in zip(sizes, kinds, strict=True) if kind == _FILE]
    return LiveTotals(
        files=files,
        empty_files=sizes.count(0),
        links=kinds.count(int(Kind.SYMLINK)),
        empty_folders=kinds.count(int(Kind.DIRECTORY)),
        left_out=kinds.count(LEFT_OUT),
        data_bytes=sum(sizes),
        largest=max(sizes, default=0),
    )
