"""Regular expressions for patterns with `*` that match in linear time, whatever the pattern.

With `.*` for each `*`, Python backtracks through every position where an earlier `*` could have ended: exponentially
many. That is never needed: the text between two stars has a fixed length, so matching it at the first possible
position leaves the most for the rest. An atomic group takes that position and never backtracks.
"""

from collections.abc import Sequence


def between_stars(pieces: Sequence[str], character: str = ".") -> str:
    """The expression for pieces separated by stars, for use with `fullmatch`.

    Args:
        pieces: regular expressions that each match one length of text only; empty where a star comes first or last.
        character: the expression of a single character that a star may match.
    """
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    inner = "".join(f"(?>{character}*?{piece})" for piece in middle if piece)
    return f"{first}{inner}{character}*{last}"
