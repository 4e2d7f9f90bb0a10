"""Hypothesis strategies: names as bytes, and whole trees of them."""

from hypothesis import strategies as st

from . import oracle

_ODD = [
    b"'",
    b'"',
    b"\\",
    b"a\nb",
    b"\t",
    b"\r",
    b"\xff\xfe",
    b".hidden",
    b" ",
    b"-rf",
    b"a.ptolemy",
    b"$HOME",
    b"%s",
    b"\x01",
    "\N{SNOWMAN}".encode(),
    b"x" * 255,
]

NAMES = st.one_of(
    st.sampled_from(_ODD),
    st.binary(min_size=1, max_size=5).filter(
        lambda name: b"\0" not in name and b"/" not in name and name not in (b".", b"..")
    ),
)
"""Names that a file system takes; none that looks like a shard's (tests/layout has those)."""

DATA = st.binary(max_size=60) | st.integers(0, 200).map(lambda size: bytes(k % 251 for k in range(size)))
LINKS = st.binary(min_size=1, max_size=40).filter(lambda target: b"\0" not in target).map(oracle.Link)


def folders(max_size: int = 8) -> st.SearchStrategy[oracle.Content]:
    """Folders of files, links and folders, some of them empty."""
    return st.recursive(
        st.dictionaries(NAMES, DATA | LINKS | st.just({}), max_size=max_size),
        lambda below: st.dictionaries(NAMES, below | DATA, max_size=max_size),
        max_leaves=6,
    )


def contents() -> st.SearchStrategy[oracle.Content]:
    """A file or a folder."""
    return st.one_of(folders(), folders(), DATA)
