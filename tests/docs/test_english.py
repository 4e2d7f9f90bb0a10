"""Plain English: phrases that aren't used in documentation, messages, docstrings and comments, and what to write."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "bench/*.md",
        "examples/**/*",
        "deploy/**/*",
        "scripts/*.sh",
        "docs/*.py",
        "ptolemy_core/**/*.py",
        "ptolemy_dagster/**/*.py",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix != ".pyc" and path.name != "CHANGELOG.md"
)

INSTEAD = {
    r"(?<!there )is no (an? )?(folder|file|CAR|number|directory|Ptolemy|link|outline|symbolic link"
    r"|success|regular file|UnixFS|name of|whole)\b": "isn't a …",
    r"go(es)? on (to|with|where|by|until|when|even|writing|finding|from|as|if)\b": "continues, resumes",
    r"(?<!data )stands? (in|at|there|beside|above|behind|between|ready|before)\b": "is in, is at, is there",
    r"(so many|so long) (at most|must|rows|files)": "at most N",
    r"(?<![\d,.])1 (CARs|files|entries|folders|rows|containers|shards)\b": "1 CAR: one has no plural",
    r"must rest|come to rest|has rested": "is unchanged",
    r"in earnest": "in production",
    r"is called \{": "matches {…}",
    r"nothing (is )?called": "no … matches",
    r"CARs aren't whole|isn't whole\b(?! sub)": "is incomplete",
    r"for ever\b": "permanently, forever",
    r"(is|was|were|are) broken off|breaks off": "is interrupted",
    r"an empty text\b": "is empty",
    r"nobody (saw|sees|says|said|asks|asked|is told|was told)\b": "it isn't known that …",
    r"asks nobody|tells? nobody": "there is no authentication",
    r"look after (the|it)\b": "check it",
    r"is there already\b": "already exists",
    r"the very (same|file|bytes|content|first|nodes|version)\b": "exactly the same",
    r"folders in each other\b": "nested",
    r"that belongs? in\b": "is stored, is included",
    r"what (stands|the walk meets|is meant)\b": "say what it is",
}
"""Pattern of each phrase, and what to write instead."""

_PHRASES = {re.compile(rf"\b(?:{phrase})", re.IGNORECASE): plain for phrase, plain in INSTEAD.items()}


def phrases(text: str) -> list[str]:
    """Lines with a phrase of the list, and what to write instead."""
    return [
        f"line {number}: {found[0]!r}: {plain}"
        for number, line in enumerate(text.splitlines(), 1)
        for phrase, plain in _PHRASES.items()
        if (found := phrase.search(line))
    ]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_have_none_of_the_phrases_to_avoid(path: Path) -> None:
    assert phrases(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "target_dir '/x' is no folder: check the path",
        "a blitz goes on where it stopped",
        "what stands in which CAR",
        "show so many at most: so many rows",
        "1 CARs verified",
        "so long must a folder rest: it must rest",
        "2 CARs aren't whole",
        "nothing is called 'x'",
    ],
)
def test_the_worst_phrases_are_found(text: str) -> None:
    assert phrases(text)


def test_plain_text_passes() -> None:
    assert phrases("11 CARs verified; '/x' isn't a folder; the blitz resumes; it is no longer a folder") == []
