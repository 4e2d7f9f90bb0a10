"""Rules: the pattern language against an obvious matcher, and walks against trees that were pruned by hand."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.errors import SettingsError
from ptolemy_core.project import Project, parse_project
from ptolemy_core.rules.selection import MAX_PATTERNS, Rules, normalized
from ptolemy_core.source.walk import walk
from ptolemy_core.tree import Kind
from tests.car import scene
from tests.dag import oracle
from tests.dag.trees import NAMES, folders


def kept(pattern: str, *paths: str) -> list[str]:
    """Which of these paths (a slash at the end: a folder) the pattern, as exclude, takes out."""
    rules = Rules(exclude=[pattern])
    return [path for path in paths if not belongs(rules, path)]


def belongs(rules: Rules, path: str) -> bool:
    """Of a folder: whether it is entered."""
    joined = os.fsencode(path.removesuffix("/")).replace(b"/", b"\0")
    if path.endswith("/"):
        return rules.scope(joined) is not None
    return rules.keep_path(joined)


@pytest.mark.parametrize(
    ("pattern", "out", "in_"),
    [
        ("a", ["a", "x/a", "a/x", "x/a/y"], ["A", "ab", "x/ba"]),
        ("*.tmp", [".tmp", "x.tmp", "d/x.tmp", "x.tmp/y"], ["x.tmp2", "tmp"]),
        ("/a", ["a", "a/b"], ["x/a"]),
        ("a/b", ["a/b", "a/b/c"], ["x/a/b", "a/x/b", "a"]),
        ("/a/*", ["a/b", "a/b/c"], ["a", "x/a/b"]),
        ("docs/", ["docs/", "x/docs/", "docs/y"], ["docs", "x/docs"]),
        ("/docs/", ["docs/", "docs/x"], ["docs", "x/docs/"]),
        ("**/a", ["a", "x/a", "x/y/a"], ["b"]),
        ("a/**", ["a/b", "a/b/c"], ["a/", "a", "b/a/c"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["x/a/b", "a/xb"]),
        ("**", ["a", "a/b"], []),
        ("a?c", ["abc", "a\N{SNOWMAN}c", "a\udcffc", "a\nc"], ["ac", "abbc", "a/c"]),
        ("[ab]c", ["ac", "bc"], ["cc", "c", "[ab]c"]),
        ("[!ab]c", ["cc", "\udcfec"], ["ac", "bc"]),
        ("[a-c]", ["a", "b", "c"], ["d", "-"]),
        ("[]-]", ["]", "-"], ["a"]),
        ("[\N{LATIN SMALL LETTER A WITH GRAVE}-\N{LATIN SMALL LETTER U WITH DIAERESIS}]", ["\xe9"], ["e"]),
        ("\\*", ["*"], ["a"]),
        ("\\[a]", ["[a]"], ["a"]),
        ("\\!a", ["!a"], ["a"]),
        ("a\\xffb", ["a\udcffb"], ["a\xffb"]),
        ("\\xc3\\xa9", ["\xe9"], ["e"]),
        ("a+b(c)|$", ["a+b(c)|$"], ["aab", "ab(c)"]),
        ("a\nb", ["a\nb"], ["a", "b"]),
        ("#x", ["#x"], ["x"]),
        (" ", [" "], ["a"]),
    ],
)
def test_a_pattern_takes_these_and_not_those(pattern: str, out: list[str], in_: list[str]) -> None:
    assert kept(pattern, *out, *in_) == out


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "has '' where a name is expected"),
        ("/", "has '' where a name is expected"),
        ("a//b", "has '' where a name is expected"),
        ("./a", "has '.' where a name is expected; write /a/b"),
        ("a/../b", "has '..' where a name is expected"),
        ("!a", r"negation is not supported; put the pattern into the other list .*, or write \\! for a name"),
        ("[a", r"has a \[ without a \]; write \\\["),
        ("[a/b]", r"has a \[ without a \]; write \\\["),
        ("[[:alpha:]]", r"has a class like \[:alpha:\], which is not supported; write a range"),
        ("[z-a]", "has the empty range z-a; swap its ends"),
        ("a\\", "ends with a single backslash"),
        ("a\0b", "contains a NUL character"),
        ("\ud800", "isn't text"),
    ],
)
def test_what_cannot_be_a_pattern_is_refused_with_the_remedy(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalized([pattern])
    settings = {"name": "p", "target_dir": "/a", "staging_dir": "/b", "exclude": [pattern]}
    with pytest.raises(SettingsError, match=f"exclude: pattern .* {message}"):
        parse_project(settings)


def test_lists_are_kept_as_valid_text_each_pattern_once() -> None:
    given = ["a\udcffb", "*.tmp", "*.tmp", "\\\udcff", "\\\\\udcff"]
    assert normalized(given) == ("a\\xffb", "*.tmp", "\\xff", "\\\\\\xff")
    assert all(normalized([text]) == (text,) for text in normalized(given))
    with pytest.raises(ValueError, match=f"{MAX_PATTERNS + 1} patterns are too many, at most {MAX_PATTERNS}"):
        normalized([str(k) for k in range(MAX_PATTERNS + 1)])


def project(**values: Any) -> Project:
    return parse_project({"name": "p", "target_dir": "/a", "staging_dir": "/b"} | values)


def test_settings_have_defaults_that_change_nothing() -> None:
    plain = project()
    assert (plain.include, plain.exclude, plain.hidden, plain.rules) == ((), (), True, None)
    assert (plain.on_error, plain.watch, plain.auto, plain.quiet_seconds) == ("fail", False, False, 60)
    assert project(exclude=["a"]).rules is not None
    assert project(hidden=False).rules is not None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("on_error", "ignore", 'on_error must be "fail" or "skip", got \'ignore\''),
        ("quiet_seconds", -1, "quiet_seconds must be 0 to 86400 seconds, got -1"),
        ("quiet_seconds", 86_401, "quiet_seconds must be 0 to 86400 seconds, got 86401"),
        ("quiet_seconds", True, "quiet_seconds must be 0 to 86400"),
        ("quiet_seconds", "1.5", "quiet_seconds must be 0 to 86400"),
        ("watch", "perhaps", "watch must be true or false, got 'perhaps'"),
        ("include", "*.jpg", r"include must be a list, got '\*\.jpg'"),
    ],
)
def test_bad_settings_are_named_with_their_limit(name: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        project(**{name: value})


# an obvious matcher, on patterns that were never text

Token = tuple[Any, ...]


@dataclass(frozen=True)
class Written:
    """A pattern by its parts: a list of tokens for each name, or "**"."""

    names: tuple[Any, ...]
    anchored: bool
    folders_only: bool

    def text(self) -> str:
        body = "/".join(n if n == "**" else "".join(map(spell, n)) for n in self.names)
        return ("/" if self.anchored else "") + body + ("/" if self.folders_only else "")

    def matches(self, path: tuple[str, ...], is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        names = self.names
        if names[-1] == "**":
            names = (*names, (("any",),))
        if not self.anchored and len(self.names) == 1:
            names = ("**", *names)
        return climbs(names, path)


def spell(token: Token) -> str:
    match token:
        case ("one",):
            return "?"
        case ("any",):
            return "*"
        case ("literal", character):
            return escaped(character)
        case ("set", none_of, ranges):
            inside = "".join(
                escaped(low) + ("" if low == high else "-" + escaped(high)) for low, high in ranges
            )
            return f"[{'!' if none_of else ''}{inside}]"
    raise AssertionError(token)


def escaped(character: str) -> str:
    return (
        character if (character.isalnum() and character != "x") or character >= "\x80" else "\\" + character
    )


def climbs(names: tuple[Any, ...], path: tuple[str, ...]) -> bool:
    if not names:
        return not path
    if names[0] == "**":
        return climbs(names[1:], path) or (bool(path) and climbs(names, path[1:]))
    return bool(path) and reads(names[0], path[0]) and climbs(names[1:], path[1:])


def reads(tokens: tuple[Token, ...], name: str) -> bool:
    if not tokens:
        return not name
    match tokens[0]:
        case ("any",):
            return any(reads(tokens[1:], name[k:]) for k in range(len(name) + 1))
        case ("one",):
            fits = bool(name)
        case ("literal", character):
            fits = name[:1] == character
        case ("set", none_of, ranges):
            fits = bool(name) and any(low <= name[0] <= high for low, high in ranges) != none_of
    return fits and reads(tokens[1:], name[1:])


CHARACTERS = st.sampled_from([*"abx.*?[]!^-\\# \n$", "\N{SNOWMAN}", "\udcff", "\xe9"])
RANGES = st.tuples(CHARACTERS, CHARACTERS).map(lambda pair: tuple(sorted(pair)))
TOKENS = st.one_of(
    st.just(("any",)),
    st.just(("one",)),
    CHARACTERS.map(lambda c: ("literal", c)),
    CHARACTERS.map(lambda c: ("literal", c)),
    st.tuples(st.just("set"), st.booleans(), st.lists(RANGES, min_size=1, max_size=3).map(tuple)),
)


def is_a_name(tokens: tuple[Token, ...]) -> bool:
    text = "".join(map(spell, tokens))
    return "**" not in text and text not in (".", "..", "\\.", "\\.\\.")


TOKEN_LISTS = st.lists(TOKENS, min_size=1, max_size=4).map(tuple).filter(is_a_name)
PATTERNS = st.builds(
    Written,
    st.lists(st.just("**") | TOKEN_LISTS, min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
).filter(lambda written: not (written.anchored and set(written.names) == {"**"}))
SEGMENTS = st.text(CHARACTERS, min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@given(PATTERNS, st.lists(SEGMENTS, min_size=1, max_size=4).map(tuple), st.booleans())
@settings(max_examples=600, deadline=None)
def test_a_pattern_matches_what_the_obvious_matcher_says(
    written: Written, path: tuple[str, ...], is_folder: bool
) -> None:
    (text,) = normalized([written.text()])
    above = (written.matches(path[:depth], True) for depth in range(1, len(path)))
    expected = any(above) or written.matches(path, is_folder)
    rules = Rules(exclude=[text])
    assert belongs(rules, "/".join(path) + ("/" if is_folder else "")) != expected


def name_pattern(name: bytes) -> Written:
    literals = tuple(("literal", c) for c in name.decode("utf-8", "surrogateescape"))
    return Written((literals,), False, False)


WRITTEN = st.lists(PATTERNS | NAMES.filter(lambda n: n not in (b".", b"..")).map(name_pattern), max_size=3)


@given(folders(), WRITTEN, WRITTEN, st.booleans())
@settings(deadline=None, max_examples=150)
def test_a_walk_with_rules_is_that_of_the_pruned_tree(
    content: Any, include: list[Written], exclude: list[Written], hidden: bool
) -> None:
    def prune(folder: Any, above: tuple[str, ...], included: bool) -> Any:
        left = {}
        for name, below in folder.items():
            path = (*above, name.decode("utf-8", "surrogateescape"))
            is_folder = isinstance(below, dict)
            if (not hidden and name.startswith(b".")) or any(p.matches(path, is_folder) for p in exclude):
                continue
            own = included or any(p.matches(path, is_folder) for p in include)
            if is_folder:
                inner = prune(below, path, own)
                if inner or own:
                    left[name] = inner
            elif own:
                left[name] = below
        return left

    texts = [normalized([p.text() for p in patterns]) for patterns in (include, exclude)]
    with tempfile.TemporaryDirectory() as folder:
        found = walk(scene.write_tree(folder + "/whole", content), Rules(*texts, hidden))
        expected = walk(scene.write_tree(folder + "/pruned", prune(content, (), not include)))
        assert [(e.path, e.kind, e.size) for e in found] == [(e.path, e.kind, e.size) for e in expected]


def test_an_excluded_folder_is_not_walked(tmp_path: Path) -> None:
    tree: oracle.Content = {
        b"a": {b"deep": {b"f": b""}},
        b"cache": {b"x": {b"f": b""}},
        b"photos": {b"raw": {b"p.raw": b""}, b"p.jpg": b""},
        b".git": {b"config": b""},
    }
    root = scene.write_tree(tmp_path / "t", tree)

    def walked(**rules: Any) -> list[bytes]:
        seen: list[bytes] = []
        list(walk(root, Rules(**rules), folder=lambda path, mtime: seen.append(path)))
        return seen

    assert walked() == [b"", b".git", b"a", b"a\0deep", b"cache", b"cache\0x", b"photos", b"photos\0raw"]
    assert walked(exclude=["cache/"], hidden=False) == [b"", b"a", b"a\0deep", b"photos", b"photos\0raw"]
    assert walked(include=["/photos/*.jpg"]) == [b"", b"photos"]
    assert walked(include=["/photos/**/*.raw"], exclude=["raw"]) == [b"", b"photos"]
    assert walked(include=["*.raw"], exclude=["a", "cache", ".git"]) == [b"", b"photos", b"photos\0raw"]


def test_a_folder_of_nothing_but_excluded_entries_is_empty(tmp_path: Path) -> None:
    tree: oracle.Content = {b"a": {b"x.tmp": b"1"}, b"b": {b"c": {b".hidden": b""}}, b"void": {}}
    root = scene.write_tree(tmp_path / "t", tree)
    found = [(e.path, e.kind) for e in walk(root, Rules(exclude=["*.tmp"], hidden=False))]
    assert found == [(path, Kind.DIRECTORY) for path in (b"a", b"b\0c", b"void")]
    assert list(walk(root, Rules(include=["*.jpg"]))) == []
