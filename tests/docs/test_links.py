"""Links work on the repository's web page: each leads to a file of the repository, and to a heading in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *ROOT.glob("bench/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("deploy/**/*.md"),
    ]
)
_LINK = re.compile(r"\]\(<?([^)\s>]+)")
_CODE = re.compile(r"^```.*?^```|^(?: {4}|\t).*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its code."""
    return _CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as the repository's web page and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_the_repository(page: Path) -> None:
    assert broken(page) == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A B\n[x](b.md) [y](a.md#a-b) [z](#nothing) `[code](c.md)`\n")
    assert broken(tmp_path / "a.md") == ["b.md", "#nothing"]


def test_the_index_links_every_page() -> None:
    linked = set(_LINK.findall(prose(DOCS / "index.md")))
    assert {page.name for page in DOCS.glob("*.md")} - linked - {"index.md"} == set()


def test_the_readme_leads_to_the_index() -> None:
    assert "docs/index.md" in _LINK.findall(prose(ROOT / "README.md"))
