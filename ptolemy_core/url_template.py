"""Templates of URLs: text with names in braces, such as https://pieces.example/piece/{piece_cid}.

A template is kept with a project's settings and shown; whatever in it is secret is written {secret}, and filled in
when the URL is used.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

NAMES: Final = ("piece_cid", "piece_cid_v1", "payload_cid", "file_name", "secret", "signature")
"""What may be in braces."""

_PIECE: Final = ("piece_cid", "piece_cid_v1", "payload_cid", "file_name")
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_LONGEST: Final = 2048
_LONGEST_VALUE: Final = 15
"""Characters of a literal value in a query from which it is taken for a secret."""


def check(what: str, template: str) -> None:
    """Refuse a template that can't give URLs, or seems to have a secret in it.

    Raises:
        ValueError: with what is wrong; the message has nothing of the template but its names and host.
    """
    names = _FIELD.findall(template)
    for name in names:
        if name not in NAMES:
            raise ValueError(
                f"{what} has {{{name[:40]}}}: it may have " + ", ".join(f"{{{n}}}" for n in NAMES)
            )
    plain = _FIELD.sub("x", template)
    if not (plain.isascii() and plain.isprintable()) or set(" {}") & set(plain) or len(template) > _LONGEST:
        raise ValueError(
            f"{what} must be a URL of at most {_LONGEST} printable ASCII characters without blanks or lone braces"
        )
    try:
        parts = urlsplit(plain)
        host = parts.hostname
        parts.port  # noqa: B018 - it is checked when it is asked for
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.fragment:
        raise ValueError(f"{what} must be http(s)://HOST[:PORT]/PATH without a fragment")
    if parts.username is not None:
        raise ValueError(f"{what} has a user or password for {host}, which providers refuse: use {{secret}}")
    if not any(name in _PIECE for name in names):
        raise ValueError(f"{what} names no piece: put {{piece_cid}} in it")
    for name, value in parse_qsl(urlsplit(template).query, keep_blank_values=True):
        if len(_FIELD.sub("", value)) > _LONGEST_VALUE:
            raise ValueError(
                f"{what} has a value of {len(value)} characters for {name[:40]!r}, which would be shown to whoever "
                "sees the project's settings: if it is a secret, write {secret} and set PTOLEMY_PIECE_SECRET"
            )


def fill(template: str, values: Mapping[str, str]) -> str:
    """The URL of a template; every name in it must have a value."""
    return _FIELD.sub(lambda match: values[match[1]], template)


def needs(template: str, name: str) -> bool:
    """Whether a name in braces is in it."""
    return name in _FIELD.findall(template)
