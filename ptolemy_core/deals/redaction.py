"""URLs and texts without what may be a secret: what follows `?` or `#`, and user information.

Signed URLs are secrets of whoever holds them, and providers quote them in their error messages.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_URL = re.compile(r"""https?://[^\s"'<>\\^`{|}]+""", re.IGNORECASE)
_SIGNATURE = re.compile(r"(CurioAuth\s+\w+:[^:\s]*:)\S+|(Bearer\s+)\S+", re.IGNORECASE)
_LONGEST = 500


def redact_url(url: str) -> str:
    """A URL with `...` in the place of its user information, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")
    except ValueError:
        return "(a URL that can't be read)"
    shown = f"{parts.scheme}://{'...@' if host[1] else ''}{host[2]}{parts.path}"
    if parts.query or "?" in url:
        shown += "?..."
    return shown + ("#..." if parts.fragment else "")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """A text of somebody else, for messages and the history: no secrets, one line, at most 500 characters.

    Args:
        text: what a provider said.
        known: secrets that it was told, such as the values of headers.
    """
    for secret in known:
        if secret:
            text = text.replace(secret, "...")
    shown = _URL.sub(lambda match: redact_url(match[0]), text)
    shown = _SIGNATURE.sub(lambda match: (match[1] or match[2]) + "...", shown)
    shown = " ".join("".join(c if c.isprintable() else " " for c in shown).split())
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."
