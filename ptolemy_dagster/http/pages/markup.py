"""HTML out of values: whatever isn't `Html` already is escaped, so no name of a file can become markup."""

from collections.abc import Iterable, Sequence
from html import escape

_VOID = frozenset({"meta", "br", "input", "link", "col"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. Attributes of None or False are left out; `class_` is class, `aria_label` aria-label."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(content)}</{name}>")


def joined(content: Iterable[object]) -> Html:
    """Pieces of content after each other."""
    out: list[str] = []
    for one in content:
        if one is None:
            continue
        if isinstance(one, Html):
            out.append(one)
        elif isinstance(one, str | int | float):
            out.append(escape(str(one)))
        elif isinstance(one, Iterable):
            out.append(joined(one))
        else:
            raise TypeError(f"{one!r} can't be shown")
    return Html("".join(out))


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table that screen readers can follow: a caption, and the first cell of a row as its head."""
    body = [tag("tr", tag("th", row[0], scope="row"), [_cell(one) for one in row[1:]]) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", [tag("th", one, scope="col") for one in header])),
            tag("tbody", body),
        ),
        class_="wide",
        role="region",
        aria_label=caption,
        tabindex="0",
    )


def _cell(content: object) -> Html:
    return content if isinstance(content, Html) and content.startswith("<td") else tag("td", content)


def free(content: object) -> Html:
    """A cell of a table whose text may take several lines."""
    return tag("td", content, class_="free")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and values; those without a value are left out."""
    shown = [(name, value) for name, value in pairs if value not in (None, "")]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown])


def link(text: object, address: str) -> Html:
    """A link."""
    return tag("a", text, href=address)


def cid(text: str | None) -> Html:
    """A CID in full; one click selects all of it."""
    return tag("code", text, class_="cid") if text else Html("")


def bar(share: float, label: str) -> Html:
    """A bar of progress, with its words."""
    return tag("progress", label, value=f"{share:.4f}", max="1", aria_label=label)
