"""Trees on disk read back as values, random trees, and restores in one call."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ptolemy_core.restore import Extraction, Report
from tests.dag import oracle


def read_tree(path: str | bytes | Path) -> oracle.Content:
    """What stands on disk, as `scene.write_tree` takes it."""
    place = os.fsencode(path)
    if os.path.islink(place):
        return oracle.Link(os.readlink(place))
    if not os.path.isdir(place):
        with open(place, "rb") as file:
            return file.read()
    return {name: read_tree(place + b"/" + name) for name in os.listdir(place)}


_EXTRACTION = ("raw_names", "roots", "complete", "limits")


def extract(cars: Sequence[Path], to: Path, *wanted: bytes, **options: Any) -> Report:
    """Extract from CARs; options of `_EXTRACTION` are the extraction's, others `write`'s."""
    own = {name: options.pop(name) for name in _EXTRACTION if name in options}
    cipher = options.pop("cipher", None)
    with Extraction(cars, wanted=[w.replace(b"/", b"\0") for w in wanted], **own) as extraction:
        extraction.decrypt(cipher)
        return extraction.write(os.fsencode(to), **options)


def merged(trees: Sequence[Mapping[bytes, Any]]) -> dict[bytes, Any]:
    """Trees laid over each other."""
    out: dict[bytes, Any] = {}
    for tree in trees:
        for name, below in tree.items():
            out[name] = merged([out[name], below]) if name in out and isinstance(below, dict) else below
    return out


AWKWARD = (
    b"x.ptolemy0",
    b"x.ptolemy1",
    b"x",
    b"x.ptolemy_",
    b"x.ptolemy0.ptolemy_",
    b".ptolemy0",
    b".ptolemy_",
    b"...ptolemy1",
    b".ptolemy-restore",
    b"\xff\xfe",
    b"new\nline",
    b"q'\"\\",
    b" ",
    b"-",
    b"...",
    b"n" * 255,
)
_NAMES = st.sampled_from(AWKWARD) | st.binary(min_size=1, max_size=8).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0").replace(b".", b",")
)
_FILES = st.binary(max_size=60) | st.builds(
    lambda seed, size: (seed * size)[:size], st.binary(min_size=1, max_size=7), st.integers(0, 5000)
)
_LINKS = st.binary(min_size=1, max_size=20).map(lambda raw: oracle.Link(raw.replace(b"\0", b"0")))
CONTENTS: st.SearchStrategy[dict[bytes, Any]] = st.dictionaries(
    _NAMES,
    st.recursive(_FILES | _LINKS, lambda below: st.dictionaries(_NAMES, below, max_size=6), max_leaves=12),
    min_size=1,
    max_size=8,
)
