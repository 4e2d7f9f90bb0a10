"""The site: the page of benchmarks, and links of the repository that lead to other places there."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
_ELSEWHERE = {"../bench/RESULTS.md": "benchmarks.md"}
"""Files outside of docs that have a page on the site."""


def on_files(files: Files, config: Any) -> Files:
    """Add the page of benchmarks, which isn't a file of this folder."""
    files.append(File.generated(config, "benchmarks.md", content=benchmarks_page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the repository become links to their pages, or plain text."""
    for path, page in _ELSEWHERE.items():
        markdown = markdown.replace(f"]({path})", f"]({page})")
    return re.sub(r"\[([^]]+)\]\(\.\./[^)]+\)", r"\1", markdown)


def benchmarks_page() -> str:
    """bench/RESULTS.md as a page."""
    text = (_ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    text = text.replace("# Results", "# Benchmarks", 1).replace("[README.md](README.md)", "bench/README.md")
    return text.replace("](../docs/", "](")  # a page among those it links to
