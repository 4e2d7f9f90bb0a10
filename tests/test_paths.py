"""Escaped paths: text for files and people from which the same bytes come back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptolemy_core.tree import paths

PATHS = st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=4).map(
    lambda names: b"\0".join(name.replace(b"\0", b"0").replace(b"/", b"_") for name in names)
)


@given(PATHS)
@example(b"\xc2\x85")
@example(b"\x85")
@example(b"\\x85")
@example(b"\\\\x85\\")
@example(b"two\nlines\0\xff\xfe")
@example("\u2028\N{SNOWMAN}\u00e9".encode())
def test_escaped_paths_come_back(path: bytes) -> None:
    text = paths.escape(path)
    assert text.isprintable()
    assert paths.unescape(text) == path
    text.encode()  # nothing in it that UTF-8 can't hold


def test_plain_names_stay_as_they_are() -> None:
    assert paths.escape("2019\0été (1).jpg".encode()) == "2019/été (1).jpg"


@pytest.mark.parametrize("text", ["\0", "a\0b", "a\\x00b"])
def test_a_nul_is_in_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="NUL character, which no name can"):
        paths.unescape(text)


@pytest.mark.parametrize("text", ["a\\", "\\n", "\\x8", "\\xFF", "\\\\\\"])
def test_what_escape_never_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid escaped path"):
        paths.unescape(text)
