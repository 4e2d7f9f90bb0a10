"""Patterns and prefixes of paths, against the obvious way: every path looked at."""

import fnmatch
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptolemy_core.catalog import path_range
from ptolemy_core.catalog.path_range import PathRange
from ptolemy_core.errors import SettingsError

NAMES = st.text(st.sampled_from("ab01.*?[]!-\\^ \u00e9\udcff\n"), min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["*", "?", "a", "b", "0", ".", "[a0]", "[!a]", "[a-b]", "\u00e9", "*b"])
PATTERNS = st.lists(
    st.one_of(st.just("**"), st.lists(PARTS, min_size=1, max_size=3).map("".join)), min_size=1, max_size=4
).map("/".join)


def raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape").replace(b"/", b"\0")


def accepts(wanted: PathRange, path: str) -> bool:
    one = raw(path)
    return one >= wanted.low and (wanted.high is None or one < wanted.high) and wanted.matches(one)


def slow_match(parts: list[str], names: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        if len(parts) == 1:
            return bool(names)
        return any(slow_match(parts[1:], names[k:]) for k in range(len(names) + 1))
    return (
        bool(names)
        and re.fullmatch(fnmatch.translate(parts[0]), names[0]) is not None
        and slow_match(parts[1:], names[1:])
    )


@given(PATTERNS, PATHS)
@example("a/**/b", "a/b")
@example("0/*", "0/0")
@example("**", "a")
def test_glob_matches_what_the_obvious_way_matches(text: str, path: str) -> None:
    assert accepts(path_range.glob(text), path) == slow_match(text.split("/"), path.split("/"))


@given(PATHS, PATHS)
@example("a", "a0")
@example("\udcff", "\udcff\udcff")
def test_prefix_is_what_begins_so(text: str, path: str) -> None:
    assert accepts(path_range.prefix(text), path) == raw(path).startswith(raw(text))


@given(PATHS, PATHS)
@example("a", "a/b")
@example("a", "a!")
def test_a_folder_is_itself_and_what_is_below(text: str, path: str) -> None:
    assert accepts(path_range.entry_or_below(text), path) == (path == text or path.startswith(text + "/"))


@given(PATHS)
def test_a_pattern_without_wildcards_is_one_path(path: str) -> None:
    plain = re.sub(r"[*?\[]", "x", path)
    assert accepts(path_range.glob(plain), plain)
    assert not accepts(path_range.glob(plain), plain + "/below")
    assert not accepts(path_range.glob(plain), plain + "x")


@pytest.mark.parametrize(
    ("text", "low"),
    [("a/b*c", b"a\0b"), ("*", b""), ("a/**/b", b"a\0"), ("2019/IMG_[0-9]*", b"2019\0IMG_"), ("a?", b"a")],
)
def test_only_the_range_before_the_first_wildcard_is_read(text: str, low: bytes) -> None:
    assert path_range.glob(text).low == low


def test_slashes_around_a_path_say_nothing() -> None:
    assert path_range.entry_or_below("/a/b/") == path_range.entry_or_below("a/b")
    assert path_range.glob("/a/*/") == path_range.glob("a/*")
    assert path_range.prefix("/a/").low == b"a\0"


@pytest.mark.parametrize("text", ["[", "a[", "[!]", "[a", "*[", "\\", "[[:alpha:]]", "[]", "[^a]"])
def test_what_is_no_set_stands_for_itself_or_matches_nothing(text: str) -> None:
    assert accepts(path_range.glob(text), text) == (re.fullmatch(fnmatch.translate(text), text) is not None)


def test_a_set_that_cannot_be_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"pattern 'x\[b-a\]' has a set of characters"):
        path_range.glob("x[b-a]")
