"""Regular expressions of patterns with `*`, which match in linear time whatever the pattern is.

A `*` as `.*` makes Python try again from every place where an earlier `*` could have ended: exponentially many.
None of that is needed. What is between two stars has a fixed length, so the first place where it fits leaves the
most for the rest; an atomic group takes that place and never tries another.
"""

from collections.abc import Sequence


def between_stars(pieces: Sequence[str], character: str = ".") -> str:
    """The expression of pieces with a star between each two of them; to be matched in full.

    Args:
        pieces: regular expressions that each match texts of one length only; empty where a star is first or last.
        character: the expression of one character that a star may stand for.
    """
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    tried = "".join(f"(?>{character}*?{piece})" for piece in middle if piece)
    return f"{first}{tried}{character}*{last}"
