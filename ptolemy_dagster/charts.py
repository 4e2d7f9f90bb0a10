"""Charts as SVG pictures in Markdown, which Dagster's UI shows beside other metadata; no file, no script.

Colours are mid-tones and the ground is clear, so that they read on light and on dark pages.
"""

import base64
from collections.abc import Sequence
from xml.sax.saxutils import escape

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.sizes import duration, readable
from ptolemy_core.stages.pace import Spell

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 8, 26, 24
_BARS = 120
"""Bars of a chart at most; more containers share them."""

_DATA, _STRUCTURE, _RATE, _TEXT, _LINE = "#4a7fd4", "#e0a03c", "#2f9e77", "#7a8599", "#b9c0cc"


def fill_chart(containers: Sequence[ContainerRow]) -> dg.MetadataValue:
    """Data and structure in each container's piece; what is left above them is padding."""
    if not containers:
        return dg.MetadataValue.md("no containers")
    pieces = np.array([row.piece_size for row in containers], dtype=np.float64)
    data = np.array([row.data_bytes for row in containers]) / pieces
    structure = np.array([row.car_size for row in containers]) / pieces - data
    bars = min(_BARS, len(containers))
    groups = np.array_split(np.arange(len(containers)), bars)
    step = (WIDTH - _LEFT - _RIGHT) / bars
    shapes = []
    for k, group in enumerate(groups):
        base = 0.0
        for values, colour in ((data, _DATA), (structure, _STRUCTURE)):
            share = float(values[group].mean())
            shapes.append(_bar(_LEFT + k * step, step, base, base + share, colour))
            base += share
    whole = pieces.sum()
    legend = [
        (_DATA, f"data {float(data @ pieces) / whole:.1%}"),
        (_STRUCTURE, f"structure {float(structure @ pieces) / whole:.1%}"),
        (None, "rest of the piece: padding"),
    ]
    last = containers[-1].number
    ends = f"container {containers[0].number:06d}", f"{last:06d}" if len(containers) > 1 else ""
    return _picture("fill of each piece", shapes, ("0%", "50%", "100%"), ends, legend)


def rate_chart(spell: Spell | None) -> dg.MetadataValue:
    """Bytes a second over the time of a spell of building."""
    if spell is None:
        return dg.MetadataValue.md("no CARs")
    top = float(spell.rates.max())
    points = [
        f"{_LEFT + (WIDTH - _LEFT - _RIGHT) * k / len(spell.rates):.1f},{_y(rate / top):.1f}"
        for k, rate in _stairs(spell.rates)
    ]
    area = f"{_LEFT},{_y(0)} {' '.join(points)} {WIDTH - _RIGHT},{_y(0)}"
    shapes = [f'<polygon points="{area}" fill="{_RATE}" fill-opacity=".75"/>']
    mean = float(spell.rates.mean())
    scale = "0", f"{readable(top / 2)}/s", f"{readable(top)}/s"
    legend: list[tuple[str | None, str]] = [
        (_RATE, f"CARs built: {readable(mean)}/s on average, {duration(spell.seconds)}")
    ]
    return _picture("build rate", shapes, scale, ("start", duration(spell.seconds)), legend)


def _stairs(rates: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Corners of a line that stays level within each step."""
    return [(k + side, float(rate)) for k, rate in enumerate(rates) for side in (0, 1)]


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _bar(left: float, step: float, low: float, high: float, colour: str) -> str:
    width = min(step * 0.86, 60)
    return (
        f'<rect x="{left + (step - width) / 2:.1f}" y="{_y(high):.1f}" width="{width:.1f}" '
        f'height="{_y(low) - _y(high):.1f}" fill="{colour}"/>'
    )


def _label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(
    title: str,
    shapes: list[str],
    scale: tuple[str, str, str],
    ends: tuple[str, str],
    legend: Sequence[tuple[str | None, str]],
) -> dg.MetadataValue:
    """The SVG of a chart as a picture in Markdown."""
    parts = []
    for share, text in zip((0, 0.5, 1), scale, strict=True):
        y = _y(share)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="{_LINE}" stroke-width=".7"/>')
        parts.append(_label(_LEFT - 6, y + 4, text, "end"))
    parts += shapes
    parts.append(_label(_LEFT, HEIGHT - 7, ends[0]))
    parts.append(_label(WIDTH - _RIGHT, HEIGHT - 7, ends[1], "end"))
    x = float(_LEFT)
    for colour, text in legend:
        if colour:
            parts.append(f'<rect x="{x:.0f}" y="4" width="11" height="11" rx="2" fill="{colour}"/>')
            x += 16
        parts.append(_label(x, 14, text))
        x += 6.6 * len(text) + 18
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="11.5" fill="{_TEXT}">{"".join(parts)}</svg>'
    )
    return dg.MetadataValue.md(
        f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
    )
