"""Patterns with many stars: they match what the obvious way matches, and do so at once."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core.rules.wildcards import between_stars

PIECES = st.lists(st.text("ab", max_size=2), min_size=1, max_size=6)


def slow_match(pieces: list[str], text: str) -> bool:
    first, *rest = pieces
    if not rest:
        return text == first
    return text.startswith(first) and any(
        slow_match(rest, text[at:]) for at in range(len(first), len(text) + 1)
    )


@given(PIECES, st.text("ab", max_size=10))
def test_pieces_match_what_trying_every_place_matches(pieces: list[str], text: str) -> None:
    assert bool(re.fullmatch(between_stars(pieces), text)) == slow_match(pieces, text)


HOSTILE = {
    "a rule of one name": (
        "from ptolemy_core.rules import Rules\n"
        "rules = Rules(exclude=['*a*a*a*a*a*a*a*a*a*a*b', '*-*-*-*-*-*-*.tmp', '*?*?*?*?*?*?*?*[!a-]'])\n"
        "assert rules.keeps(rules.top, b'a' * 255)\n"
        "assert rules.keeps(rules.top, b'-' * 250)\n"
    ),
    "a rule of many folders": (
        "from ptolemy_core.rules import Rules\n"
        "rules = Rules(exclude=['/' + '**/*a*/' * 30 + 'b'])\n"
        "assert rules.keep_path(b'\\0'.join([b'a'] * 2000))\n"
    ),
    "a search of one name": (
        "from ptolemy_core.catalog import path_range\n"
        "assert not path_range.glob('*a*a*a*a*a*a*a*a*a*a*b').matches(b'a' * 255)\n"
    ),
    "a search of many folders": (
        "from ptolemy_core.catalog import path_range\n"
        "assert not path_range.glob('**/*a*/' * 30 + 'b').matches(b'\\0'.join([b'aaa'] * 1000))\n"
        "assert not path_range.glob('**/' * 200 + 'b').matches(b'\\0'.join([b'aaa'] * 1000))\n"
        "assert not path_range.glob('**/*/' * 30 + 'b').matches(b'\\0'.join([b'aaa'] * 1000))\n"
    ),
    "a search of brackets": (
        "from ptolemy_core.catalog import path_range\nassert not path_range.glob('[' * 100_000).matches(b'a')\n"
    ),
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_a_pattern_with_many_stars_ends(code: str) -> None:
    # in a process of its own: a match that never ends can't be interrupted in this one
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
