"""Charts of docs/speed.md, made from the figures in bench/RESULTS.md. `python docs/charts.py` writes them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "RESULTS.md"

_WIDTH, _LABELS, _ROW, _TOP = 800, 280, 26, 56
_OURS, _OTHERS = "#3f51b5", "#9e9e9e"


@dataclass(frozen=True)
class Bar:
    """A label and its figure, as it is printed in the results; `ours` is drawn in Ptolemy's colour."""

    label: str
    figure: str
    ours: bool = True

    @property
    def value(self) -> float:
        """The length of the bar."""
        return float(self.figure)


def table(results: str, heading: str) -> list[dict[str, str]]:
    """Rows of the first table below the last heading that starts with this text, by column."""
    _, found, rest = results.rpartition(f"\n### {heading}")
    if not found:
        raise LookupError(f"no section {heading!r} in {RESULTS.name}")
    lines = re.findall(r"^\|.*\|$", rest.partition("\n#")[0], re.MULTILINE)
    columns, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def median(text: str) -> str:
    """The first part of `median (min..max)`."""
    return text.split()[0]


def peers(heading: str) -> Callable[[str], list[Bar]]:
    """CPU seconds of each tool in a table of peers."""

    def bars(results: str) -> list[Bar]:
        return [
            Bar(f"{row['tool']}: {row['makes']}", median(row["CPU s/GiB"]), row["tool"] == "ptolemy")
            for row in table(results, heading)
        ]

    return bars


def kernel(results: str) -> list[Bar]:
    """GB/s of each hash variant, where it computes piece commitments."""
    rows = table(results, "Kernel, GB/s on one core")
    return [Bar(row["variant"], median(row["commitment"])) for row in rows if row["commitment"]]


def lookups(results: str) -> list[Bar]:
    """Milliseconds of each kind of look-up on SQLite."""
    rows = table(results, "Look-up in a catalog of 10000000 files on SQLite")
    return [Bar(row["look-up"], median(row["median ms"])) for row in rows]


CHARTS: dict[str, tuple[str, str, Callable[[str], list[Bar]]]] = {
    "speed-large": (
        "One file of 1 GiB: CPU seconds, less is better",
        "s",
        peers("Peers: one file of 1024 MiB"),
    ),
    "speed-small": (
        "100,000 files of 4 KiB: CPU seconds per GiB, less is better",
        "s",
        peers("Small files: 100000 of 4 KiB"),
    ),
    "speed-kernel": ("Piece commitment on one core: GB/s, more is better", "GB/s", kernel),
    "speed-lookup": ("Look-up among 10 million files: median ms, less is better", "ms", lookups),
}
"""Name of each chart's file, its title, the unit, and what makes its bars."""


def svg(title: str, unit: str, bars: list[Bar]) -> str:
    """Horizontal bars with their values."""
    height = _TOP + _ROW * len(bars) + 12
    most = max(bar.value for bar in bars)
    scale = (_WIDTH - _LABELS - 110) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="32" font-size="16" font-weight="600" fill="#212121">{escape(title)}</text>',
    ]
    for place, bar in enumerate(bars):
        y = _TOP + place * _ROW
        colour = _OURS if bar.ours else _OTHERS
        long = max(bar.value * scale, 1)
        parts += [
            f'<text x="{_LABELS}" y="{y + 13}" text-anchor="end" fill="#212121">{escape(bar.label)}</text>',
            f'<rect x="{_LABELS + 10}" y="{y}" width="{long:.1f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{_LABELS + 18 + long:.1f}" y="{y + 13}" fill="#212121">{bar.figure} {unit}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def charts() -> dict[Path, str]:
    """Path and text of each chart."""
    results = RESULTS.read_text("utf-8")
    return {
        DOCS / "images" / f"{name}.svg": svg(title, unit, bars(results))
        for name, (title, unit, bars) in CHARTS.items()
    }


if __name__ == "__main__":
    for path, text in charts().items():
        path.write_text(text, "utf-8")
